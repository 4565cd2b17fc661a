; The memory of tapes, which grow while a program runs: LLVM IR over the C library. Compiled into the
; process once; an ahead-of-time library carries its own copy.
;
; A root lies in the memory of a program or of one of its parallel tasks: the newest block, and the
; address of a word that becomes 1 where memory runs out. Blocks are doubly linked, so that one keeps
; its place in the order of age when it moves.

; Newest block; word, behind which lies how many more bytes the program may take.
%root = type { ptr, ptr }
; In front of a block, which its address follows: older, newer, bytes with these.
%block = type { ptr, ptr, i64, [5 x i64] }

@used = internal global i64 0, align 128
@peak = internal global i64 0
@most = internal global i64 0

declare ptr @realloc(ptr, i64)
declare void @free(ptr)
declare { i64, i1 } @llvm.umul.with.overflow.i64(i64, i64)

; Room for `count` elements of `size` bytes: the address of the block, in place of the one at
; `address` if that is not 0. It is 0 where there is no more memory.
define i64 @dmc_tape_resize(ptr %root, i64 %address, i64 %count, i64 %size) nounwind {
entry:
  %word.at = getelementptr %root, ptr %root, i64 0, i32 1
  %word = load ptr, ptr %word.at
  %left.at = getelementptr i64, ptr %word, i64 1
  %product = call { i64, i1 } @llvm.umul.with.overflow.i64(i64 %count, i64 %size)
  %bytes = extractvalue { i64, i1 } %product, 0
  %overflow = extractvalue { i64, i1 } %product, 1
  %most = load atomic i64, ptr @most monotonic, align 8
  %large = icmp ugt i64 %bytes, %most
  %refused = or i1 %overflow, %large
  br i1 %refused, label %fail, label %measure

measure:
  %is.new = icmp eq i64 %address, 0
  %elements = inttoptr i64 %address to ptr
  %header = getelementptr %block, ptr %elements, i64 -1
  br i1 %is.new, label %account, label %known

known:
  %old.bytes.at = getelementptr %block, ptr %header, i64 0, i32 2
  %old.bytes = load i64, ptr %old.bytes.at
  br label %account

account:
  %old = phi ptr [ null, %measure ], [ %header, %known ]
  %before = phi i64 [ 0, %measure ], [ %old.bytes, %known ]
  %room = add i64 %bytes, 64
  %more = sub i64 %room, %before
  %used.before = atomicrmw add ptr @used, i64 %more monotonic
  %used = add i64 %used.before, %more
  %too.much = icmp sgt i64 %used, %most
  %left.before = atomicrmw sub ptr %left.at, i64 %more monotonic
  %beyond = icmp sgt i64 %more, %left.before
  %denied = or i1 %too.much, %beyond
  br i1 %denied, label %undo, label %allocate

allocate:
  %new = call ptr @realloc(ptr %old, i64 %room)
  %none = icmp eq ptr %new, null
  br i1 %none, label %undo, label %link

undo:
  atomicrmw sub ptr @used, i64 %more monotonic
  atomicrmw add ptr %left.at, i64 %more monotonic
  br label %fail

fail:
  store atomic i64 1, ptr %word monotonic, align 8
  ret i64 0

link:
  atomicrmw umax ptr @peak, i64 %used monotonic
  %new.bytes.at = getelementptr %block, ptr %new, i64 0, i32 2
  store i64 %room, ptr %new.bytes.at
  %newer.at = getelementptr %block, ptr %new, i64 0, i32 1
  br i1 %is.new, label %append, label %relink

append:
  %newest = load ptr, ptr %root
  store ptr %newest, ptr %new
  store ptr null, ptr %newer.at
  br label %lead

relink:
  %newer = load ptr, ptr %newer.at
  %is.newest = icmp eq ptr %newer, null
  br i1 %is.newest, label %lead, label %inside

inside:
  store ptr %new, ptr %newer
  br label %follow

lead:
  store ptr %new, ptr %root
  br label %follow

follow:
  %older = load ptr, ptr %new
  %is.oldest = icmp eq ptr %older, null
  br i1 %is.oldest, label %done, label %attach

attach:
  %older.newer.at = getelementptr %block, ptr %older, i64 0, i32 1
  store ptr %new, ptr %older.newer.at
  br label %done

done:
  %made = getelementptr %block, ptr %new, i64 1
  %made.address = ptrtoint ptr %made to i64
  ret i64 %made.address
}

; Free the blocks that are newer than `mark`, what the root said was the newest.
define void @dmc_tape_release(ptr %root, i64 %mark) nounwind {
entry:
  %word.at = getelementptr %root, ptr %root, i64 0, i32 1
  %word = load ptr, ptr %word.at
  %left.at = getelementptr i64, ptr %word, i64 1
  %first = load ptr, ptr %root
  %last = inttoptr i64 %mark to ptr
  br label %test

test:
  %at = phi ptr [ %first, %entry ], [ %older, %drop ]
  %done = icmp eq ptr %at, %last
  br i1 %done, label %end, label %drop

drop:
  %older = load ptr, ptr %at
  %bytes.at = getelementptr %block, ptr %at, i64 0, i32 2
  %bytes = load i64, ptr %bytes.at
  atomicrmw sub ptr @used, i64 %bytes monotonic
  atomicrmw add ptr %left.at, i64 %bytes monotonic
  call void @free(ptr %at)
  br label %test

end:
  store ptr %at, ptr %root
  %none = icmp eq ptr %at, null
  br i1 %none, label %return, label %cut

cut:
  %newer.at = getelementptr %block, ptr %at, i64 0, i32 1
  store ptr null, ptr %newer.at
  br label %return

return:
  ret void
}

; Let all tapes of the process take at most so many bytes.
define void @dmc_tape_limit(i64 %bytes) nounwind {
  store atomic i64 %bytes, ptr @most monotonic, align 8
  ret void
}

; The most bytes that tapes have taken since this was last asked.
define i64 @dmc_tape_peak() nounwind {
  %used = load atomic i64, ptr @used monotonic, align 8
  %peak = atomicrmw xchg ptr @peak, i64 %used monotonic
  ret i64 %peak
}
