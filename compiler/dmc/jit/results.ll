; The memory of results. Called with the interpreter's lock, which guards what is spare, too.
;
; The first write to each page of new memory takes longer than many a program takes to fill it. So
; what large results leave behind when nobody refers to them any more is kept for results of as many
; bytes: 64 MiB at most, the oldest given back first.

; As built in entry.py; see entry.ll.
%spec = type { ptr, i64, ptr, i64, i64, ptr, i64 }
; Its address and its size.
%block = type { ptr, i64 }

@PyArray_Type = external global i8

; The spare blocks, the oldest first, and how many bytes they have.
@blocks = internal global [64 x %block] zeroinitializer
@count = internal global i64 0
@bytes = internal global i64 0

declare ptr @PyCapsule_GetContext(ptr)
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare ptr @PyCapsule_New(ptr, ptr, ptr)
declare i32 @PyCapsule_SetContext(ptr, ptr)
declare ptr @PyErr_NoMemory()
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
declare i32 @PyArray_SetBaseObject(ptr, ptr)
declare i32 @posix_memalign(ptr, i64, i64)
declare i32 @madvise(ptr, i64, i32)
declare void @free(ptr)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)

; An uninitialized array on memory aligned to 64 bytes, or null with an exception set.
define ptr @dmc_new_array(ptr %spec) nounwind {
entry:
  %bytes.at = getelementptr %spec, ptr %spec, i64 0, i32 3
  %bytes = load i64, ptr %bytes.at
  %spare = call ptr @take(i64 %bytes)
  %fresh = icmp eq ptr %spare, null
  br i1 %fresh, label %allocate, label %own

allocate:
  %allocated = call ptr @allocate(i64 %bytes)
  %none = icmp eq ptr %allocated, null
  br i1 %none, label %no.memory, label %own

no.memory:
  %failed = call ptr @PyErr_NoMemory()
  ret ptr null

own:
  %memory = phi ptr [ %spare, %entry ], [ %allocated, %allocate ]
  %owner = call ptr @PyCapsule_New(ptr %memory, ptr null, ptr @release)
  %no.owner = icmp eq ptr %owner, null
  br i1 %no.owner, label %no.capsule, label %wrap

no.capsule:
  call void @free(ptr %memory)
  ret ptr null

wrap:
  %size = inttoptr i64 %bytes to ptr
  call i32 @PyCapsule_SetContext(ptr %owner, ptr %size)
  %dtype = load ptr, ptr %spec
  %rank.at = getelementptr %spec, ptr %spec, i64 0, i32 1
  %rank.wide = load i64, ptr %rank.at
  %rank = trunc i64 %rank.wide to i32
  %dimensions.at = getelementptr %spec, ptr %spec, i64 0, i32 2
  %dimensions = load ptr, ptr %dimensions.at
  ; The array takes over a reference to its dtype, and one to the owner of its memory.
  call void @Py_IncRef(ptr %dtype)
  %array = call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr %dtype, i32 %rank, ptr %dimensions, ptr null, ptr %memory, i32 1281, ptr null)
  %no.array = icmp eq ptr %array, null
  br i1 %no.array, label %drop, label %attach

drop:
  call void @Py_DecRef(ptr %owner)
  ret ptr null

attach:
  call i32 @PyArray_SetBaseObject(ptr %array, ptr %owner)
  ret ptr %array
}

; New memory, or null. From 4 MiB on it is asked to lie in huge pages (as NumPy does).
define internal ptr @allocate(i64 %bytes) nounwind {
entry:
  %place = alloca ptr, align 8
  ; One more, so that an array without elements has an address, too.
  %room = add i64 %bytes, 1
  %huge = icmp uge i64 %bytes, 4194304
  %alignment = select i1 %huge, i64 2097152, i64 64
  %status = call i32 @posix_memalign(ptr %place, i64 %alignment, i64 %room)
  %ok = icmp eq i32 %status, 0
  br i1 %ok, label %found, label %none

found:
  %memory = load ptr, ptr %place
  br i1 %huge, label %advise, label %done

advise:
  ; 14 is MADV_HUGEPAGE.
  call i32 @madvise(ptr %memory, i64 %bytes, i32 14)
  br label %done

done:
  ret ptr %memory

none:
  ret ptr null
}

; What becomes of a result's memory when the last array on it is gone.
define internal void @release(ptr %owner) nounwind {
entry:
  %memory = call ptr @PyCapsule_GetPointer(ptr %owner, ptr null)
  %context = call ptr @PyCapsule_GetContext(ptr %owner)
  %bytes = ptrtoint ptr %context to i64
  %worth = call i1 @is_kept(i64 %bytes)
  br i1 %worth, label %room, label %give.back

give.back:
  call void @free(ptr %memory)
  ret void

room:
  %count = load i64, ptr @count
  %held = load i64, ptr @bytes
  %with = add i64 %held, %bytes
  %full = icmp eq i64 %count, 64
  %much = icmp ugt i64 %with, 67108864
  %crowded = or i1 %full, %much
  br i1 %crowded, label %evict, label %keep

evict:
  %oldest = load ptr, ptr @blocks
  call void @remove(i64 0)
  call void @free(ptr %oldest)
  br label %room

keep:
  %address.at = getelementptr [64 x %block], ptr @blocks, i64 0, i64 %count, i32 0
  %bytes.at = getelementptr [64 x %block], ptr @blocks, i64 0, i64 %count, i32 1
  store ptr %memory, ptr %address.at
  store i64 %bytes, ptr %bytes.at
  %more = add i64 %count, 1
  store i64 %more, ptr @count
  store i64 %with, ptr @bytes
  ret void
}

; The bytes that are spare.
define i64 @dmc_spare_bytes() nounwind {
  %held = load i64, ptr @bytes
  ret i64 %held
}

; Whether memory of that size is kept: the C library has smaller blocks at hand.
define internal i1 @is_kept(i64 %bytes) nounwind {
  %large = icmp uge i64 %bytes, 65536
  %fits = icmp ule i64 %bytes, 67108864
  %kept = and i1 %large, %fits
  ret i1 %kept
}

; The spare block of exactly that size which was kept last, or null.
define internal ptr @take(i64 %bytes) nounwind {
entry:
  %kept = call i1 @is_kept(i64 %bytes)
  br i1 %kept, label %begin, label %none

begin:
  %count = load i64, ptr @count
  br label %test

test:
  %i = phi i64 [ %count, %begin ], [ %i.next, %look ]
  %done = icmp eq i64 %i, 0
  br i1 %done, label %none, label %look

look:
  %i.next = sub i64 %i, 1
  %bytes.at = getelementptr [64 x %block], ptr @blocks, i64 0, i64 %i.next, i32 1
  %size = load i64, ptr %bytes.at
  %same = icmp eq i64 %size, %bytes
  br i1 %same, label %found, label %test

found:
  %address.at = getelementptr [64 x %block], ptr @blocks, i64 0, i64 %i.next, i32 0
  %address = load ptr, ptr %address.at
  call void @remove(i64 %i.next)
  ret ptr %address

none:
  ret ptr null
}

; Let a spare block be no more, and those behind it move up.
define internal void @remove(i64 %i) nounwind {
  %count = load i64, ptr @count
  %held = load i64, ptr @bytes
  %here = getelementptr [64 x %block], ptr @blocks, i64 0, i64 %i
  %bytes.at = getelementptr %block, ptr %here, i64 0, i32 1
  %bytes = load i64, ptr %bytes.at
  %less = sub i64 %held, %bytes
  store i64 %less, ptr @bytes
  %fewer = sub i64 %count, 1
  store i64 %fewer, ptr @count
  %behind = getelementptr %block, ptr %here, i64 1
  %moving = sub i64 %fewer, %i
  %moving.bytes = mul i64 %moving, 16
  call void @llvm.memmove.p0.p0.i64(ptr %here, ptr %behind, i64 %moving.bytes, i1 false)
  ret void
}
