"""Error codes of the family `call`: calls, in programs and from Python."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code, Language

CODES: tuple[Code, ...] = (
    Code(
        "call.argument",
        "the arguments of a call do not fit the function",
        "Names and order are those of the declaration; `f.signature` prints it. Sizes "
        "that no argument determines are given in brackets or by name.",
        'mod = dmc.loads("fn f(x: f64) -> f64 = x")\nmod.f(1.0, 2.0)\n',
        'mod = dmc.loads("fn f(x: f64) -> f64 = x")\nmod.f(1.0)\n',
        Language.PYTHON,
    ),
    Code(
        "call.value",
        "an argument is of a kind that the parameter cannot take",
        "Arrays are NumPy arrays, records are those of the loaded module, numbers adapt "
        "to the declared type.",
        'mod = dmc.loads("fn f(x: f64) -> f64 = x")\nmod.f("one")\n',
        'mod = dmc.loads("fn f(x: f64) -> f64 = x")\nmod.f(1.0)\n',
        Language.PYTHON,
    ),
    Code(
        "call.dtype",
        "an array has an element type that dm does not have",
        "dm computes with f16, bf16, f32, f64, i32, i64 and bool.",
        "mod.f(np.zeros(3, dtype=np.complex128))\n",
        "mod.f(np.zeros(3, dtype=np.float64))\n",
        Language.PYTHON,
    ),
    Code(
        "call.byteorder",
        "an array is byte-swapped",
        "Compiled code reads the bytes of the machine. Convert once, where the data is loaded.",
        'mod.f(x.astype(">f8"))\n',
        'mod.f(x.astype("f8"))\n',
        Language.PYTHON,
    ),
    Code(
        "call.size",
        "a size is not known",
        "Code is compiled for given sizes. Without arguments to take them from, give each by name.",
        "mod.loss.compile(net)\n",
        "mod.loss.compile(net, B=32)\n",
        Language.PYTHON,
    ),
    Code(
        "call.field",
        "the fields of a record do not fit its type",
        "A record is built with all its fields by name, and its sizes where they do not follow.",
        "mod.Weights(w=np.zeros(3))\n",
        "mod.Weights(w=np.zeros(3), b=0.0)\n",
        Language.PYTHON,
    ),
    Code(
        "call.default",
        "a parameter without default follows one with",
        "Arguments are given by position or by name, and those left out are the last ones.",
        "fn f(a: f64 = 1.0, b: f64) -> f64 = a * b\n",
        "fn f(b: f64, a: f64 = 1.0) -> f64 = a * b\n",
    ),
    Code(
        "call.threads",
        "the number of threads is not usable",
        "It is a positive number; results are the same for any.",
        "DMC_NUM_THREADS=many dmc run model.dm loss\n",
        "DMC_NUM_THREADS=2 dmc run model.dm loss\n",
        Language.SHELL,
    ),
    Code(
        "call.count",
        "a call has too many or too few arguments",
        "Arguments are given by position or by name; `map`, `split` and the rest of the "
        "prelude say how many they take.",
        "fn f(x: f64) -> f64 = x\n\nfn g(x: f64) -> f64 = f(x, x)\n",
        "fn f(x: f64) -> f64 = x\n\nfn g(x: f64) -> f64 = f(x)\n",
    ),
    Code(
        "call.keyword",
        "an argument is named that the function does not have, or named twice",
        "Names are those of the declaration. Functions of the prelude and function values "
        "take arguments by position only.",
        "fn f(rate: f64) -> f64 = rate\n\nfn g(x: f64) -> f64 = f(rat = x)\n",
        "fn f(rate: f64) -> f64 = rate\n\nfn g(x: f64) -> f64 = f(rate = x)\n",
    ),
    Code(
        "call.missing",
        "an argument or field without default is not given",
        "Everything without a default is given: arguments of a function, fields of a "
        "struct, hyperparameters of a sub-model.",
        "fn f(a: f64, b: f64) -> f64 = a * b\n\nfn g(x: f64) -> f64 = f(x)\n",
        "fn f(a: f64, b: f64) -> f64 = a * b\n\nfn g(x: f64) -> f64 = f(x, x)\n",
    ),
    Code(
        "call.generic",
        "a generic parameter is not known from the arguments",
        "Arguments fix generic parameters through their types. What they do not mention "
        "is given in brackets, from the first.",
        "fn pad[K](x: f64) -> f64[K] = [i in 0..K] => x\n\nfn f[K](x: f64) -> f64[K] = pad(x)\n",
        "fn pad[K](x: f64) -> f64[K] = [i in 0..K] => x\n\nfn f[K](x: f64) -> f64[K] = pad[K](x)\n",
    ),
    Code(
        "call.stage",
        "there is no such stage of compilation",
        "A function is seen as tensor, tangent, adjoint, optimized, kernel, loop, llvm or asm.",
        'mod.loss.ir("tensors", N=3)\n',
        'mod.loss.ir("tensor", N=3)\n',
        Language.PYTHON,
    ),
    Code(
        "call.donated",
        "a donated array is used again, or cannot be donated",
        "Donating an argument gives its memory up, so that results may be written over it. Go on "
        "with the result of the call; pass a copy to keep the array.",
        'new, opt = mod.update(net, opt, g, donate="net")\nmod.loss(net, x, y)\n',
        'net, opt = mod.update(net, opt, g, donate="net")\nmod.loss(net, x, y)\n',
        Language.PYTHON,
    ),
)
