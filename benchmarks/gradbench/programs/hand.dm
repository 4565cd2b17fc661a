# Hand tracking: how far the points of a scan are from the skin of a posed hand.

struct Hand[B, V] {
    parents: i32[B]             # bones come after their parents; -1 where there is none
    relative: f64[B, 4, 4]      # of each bone to its parent, at rest
    inverse: f64[B, 4, 4]       # from the space to each bone, at rest
    skin: f64[V, 4]             # vertices at rest, in homogeneous coordinates
    weights: f64[V, B]          # how far each vertex follows each bone
    mirror: f64                 # -1 for the other hand, else 1
}

## The rotation about an axis by its length: Rodrigues' formula.
fn about_axis(r: f64[3]) -> f64[3, 3] {
    let angle = sqrt(r @ r)
    if angle < 1e-4 { eye[3]() } else {
        let (c, s) = (cos(angle), sin(angle))
        let w = r / angle
        let (x, y, z) = (w[0], w[1], w[2])
        [[x * x + (1.0 - x * x) * c, x * y * (1.0 - c) - z * s, x * z * (1.0 - c) + y * s],
         [x * y * (1.0 - c) + z * s, y * y + (1.0 - y * y) * c, y * z * (1.0 - c) - x * s],
         [x * z * (1.0 - c) - y * s, y * z * (1.0 - c) + x * s, z * z + (1.0 - z * z) * c]]
    }
}

## A joint that bends about its x axis, then spreads about its z axis.
fn joint(bend: f64, spread: f64) -> f64[4, 4] {
    let (cx, sx, cz, sz) = (cos(bend), sin(bend), cos(spread), sin(spread))
    [[cz, -sz * cx, sz * sx, 0.0],
     [sz, cz * cx, -cz * sx, 0.0],
     [0.0, sx, cx, 0.0],
     [0.0, 0.0, 0.0, 1.0]]
}

## Of theta, 3 turn the hand, 3 move it, and 4 are of each finger: its first bone bends and
## spreads, its second and third bend. Bones 2, 3, 4 are of the first finger, 6, 7, 8 of the next.
fn posed[B, V](theta: f64[26], hand: Hand[B, V]) -> f64[V, 3] {
    let relative = [b] => {
        let (finger, place) = ((b - 2) // 4, (b - 2) % 4)
        let moves = b >= 2 and finger < 5
        let bend = if moves and place == 0 { theta[6 + 4 * finger] } else {
            if moves and place < 3 { theta[7 + 4 * finger + place] } else { 0.0 }
        }
        let spread = if moves and place == 0 { theta[7 + 4 * finger] } else { 0.0 }
        hand.relative[b] @ joint(bend, spread)
    }
    var absolute: f64[B, 4, 4] = zeros
    for b in 0..B {
        let parent = hand.parents[b]
        absolute[b] = if parent < 0 { relative[b] } else { absolute[parent] @ relative[b] }
    }
    let bones = [b] => absolute[b] @ hand.inverse[b]
    let weighted: f64[V, B, 4] = [v, b, j] => hand.weights[v, b] * hand.skin[v, j]
    let skin = [v, i in 0..3] => sum[b, j](bones[b, i, j] * weighted[v, b, j])
    let mirrored = [v, i] => if i == 0 { hand.mirror * skin[v, i] } else { skin[v, i] }
    mirrored @ about_axis(theta[:3]).T + theta[3:6]
}

## Each point belongs to a vertex.
fn objective_on_vertices[B, V, P](theta: f64[26], hand: Hand[B, V], vertex: i32[P],
                                  points: f64[P, 3]) -> f64[P, 3] {
    let skin = posed(theta, hand)
    [p] => points[p] - skin[vertex[p]]
}

fn on_triangle(u: f64[2], a: f64[3], b: f64[3], c: f64[3]) -> f64[3] =
    u[0] * a + u[1] * b + (1.0 - u[0] - u[1]) * c

## Each point has a triangle, and its place in that is free, too.
fn objective[B, V, P](theta: f64[26], u: f64[P, 2], hand: Hand[B, V], triangle: i32[P, 3],
                      points: f64[P, 3]) -> f64[P, 3] {
    let skin = posed(theta, hand)
    [p] => points[p] - on_triangle(
        u[p], skin[triangle[p, 0]], skin[triangle[p, 1]], skin[triangle[p, 2]])
}

fn slopes_on_vertices[B, V, P](theta: f64[26], hand: Hand[B, V], vertex: i32[P],
                               points: f64[P, 3]) -> f64[3 * P, 26] =
    reshape[3 * P, 26](jacobian(objective_on_vertices)(theta, hand, vertex, points))

## In u, of its own point, then in theta.
fn slopes[B, V, P](theta: f64[26], u: f64[P, 2], hand: Hand[B, V], triangle: i32[P, 3],
                   points: f64[P, 3]) -> f64[3 * P, 28] {
    let skin = posed(theta, hand)
    let in_u = [p] => -jacobian(on_triangle)(
        u[p], skin[triangle[p, 0]], skin[triangle[p, 1]], skin[triangle[p, 2]])
    let in_theta = jacobian(objective)(theta, u, hand, triangle, points)
    reshape[3 * P, 28](concat[2](in_u, in_theta))
}
