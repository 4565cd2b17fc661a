; What Python calls: a METH_FASTCALL function shared by all compiled programs, in LLVM IR against the
; C APIs of CPython and NumPy. It checks the arguments, allocates the results, releases the
; interpreter's lock, calls the program, and returns the results in a tuple.
;
; Instead of a tuple it returns an int that Python code turns into an error or another attempt:
;   -1       wrong number of arguments
;   -2 - i   argument i is no plain, contiguous, aligned array of its element type and shape (and no
;            scalar or float that stands for one without axes), or is donated and another argument
;            has some of its memory
;   status   what the program returned, if that is not 0

; PyArrayObject_fields of NumPy's C API, after the object header of CPython with its GIL.
%array = type { i64, ptr, ptr, i32, ptr, ptr, ptr, ptr, i32 }
; As built in entry.py:
; dtype object, rank, dimensions, bytes, for an argument the flags that must be set, for a result the
; argument that it overwrites or -1, the type of NumPy's scalars that may stand for it or null, and
; whether a float of Python may: 1 as an f32, 2 as an f64.
%spec = type { ptr, i64, ptr, i64, i64, ptr, i64 }
; PyFloatObject, and a scalar of NumPy: a value behind the header.
%scalar = type { i64, ptr, double }
; program, arena, arguments, their specs, results, their specs, mutex, whether to stop.
%program = type { ptr, ptr, i64, ptr, i64, ptr, ptr, i32 }

@PyArray_Type = external global i8
@PyFloat_Type = external global i8

declare double @llvm.fabs.f64(double)
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @dmc_new_array(ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)

define ptr @dmc_call(ptr %self, ptr %arguments, i64 %given) nounwind {
  %program = call ptr @PyCapsule_GetPointer(ptr %self, ptr null)
  %result = call ptr @dmc_call_program(ptr %program, ptr %arguments, i64 %given)
  ret ptr %result
}

; The same, of a program instead of the capsule that holds it.
define ptr @dmc_call_program(ptr %program, ptr %arguments, i64 %given) nounwind {
entry:
  %count.at = getelementptr %program, ptr %program, i64 0, i32 2
  %count = load i64, ptr %count.at
  %right.number = icmp eq i64 %given, %count
  br i1 %right.number, label %prepare, label %wrong.number

wrong.number:
  %minus.one = call ptr @PyLong_FromLongLong(i64 -1)
  ret ptr %minus.one

prepare:
  %specs.at = getelementptr %program, ptr %program, i64 0, i32 3
  %specs = load ptr, ptr %specs.at
  %results.at = getelementptr %program, ptr %program, i64 0, i32 4
  %results = load i64, ptr %results.at
  %result.specs.at = getelementptr %program, ptr %program, i64 0, i32 5
  %result.specs = load ptr, ptr %result.specs.at
  %all = add i64 %count, %results
  %buffers = alloca ptr, i64 %all, align 16
  %numbers = alloca float, i64 %count, align 16
  br label %arguments.test

arguments.test:
  %i = phi i64 [ 0, %prepare ], [ %i.next, %accept ]
  %i.more = icmp slt i64 %i, %count
  br i1 %i.more, label %argument, label %results.begin

argument:
  %argument.at = getelementptr ptr, ptr %arguments, i64 %i
  %object = load ptr, ptr %argument.at
  %spec = getelementptr %spec, ptr %specs, i64 %i
  %type.at = getelementptr %array, ptr %object, i64 0, i32 1
  %type = load ptr, ptr %type.at
  %is.array = icmp eq ptr %type, @PyArray_Type
  br i1 %is.array, label %inspect, label %scalar

scalar:
  %value.at = getelementptr %scalar, ptr %object, i64 0, i32 2
  %scalar.type.at = getelementptr %spec, ptr %spec, i64 0, i32 5
  %scalar.type = load ptr, ptr %scalar.type.at
  %is.scalar = icmp eq ptr %type, %scalar.type
  br i1 %is.scalar, label %accept, label %float

float:
  %is.float = icmp eq ptr %type, @PyFloat_Type
  %as.at = getelementptr %spec, ptr %spec, i64 0, i32 6
  %as = load i64, ptr %as.at
  %as.float = select i1 %is.float, i64 %as, i64 0
  switch i64 %as.float, label %reject [
    i64 1, label %narrow
    i64 2, label %accept
  ]

narrow:
  %double = load double, ptr %value.at
  %number = fptrunc double %double to float
  %number.at = getelementptr float, ptr %numbers, i64 %i
  store float %number, ptr %number.at
  %magnitude = call double @llvm.fabs.f64(double %double)
  ; Above this, f32 rounds to infinity.
  %held = fcmp ult double %magnitude, 0x47EFFFFFF0000000
  br i1 %held, label %accept, label %reject

inspect:
  %dtype.at = getelementptr %array, ptr %object, i64 0, i32 7
  %dtype = load ptr, ptr %dtype.at
  %wanted.dtype = load ptr, ptr %spec
  %same.dtype = icmp eq ptr %dtype, %wanted.dtype
  %flags.at = getelementptr %array, ptr %object, i64 0, i32 8
  %flags.narrow = load i32, ptr %flags.at
  %flags = zext i32 %flags.narrow to i64
  %wanted.flags.at = getelementptr %spec, ptr %spec, i64 0, i32 4
  %wanted.flags = load i64, ptr %wanted.flags.at
  %set.flags = and i64 %flags, %wanted.flags
  %same.flags = icmp eq i64 %set.flags, %wanted.flags
  %rank.at = getelementptr %array, ptr %object, i64 0, i32 3
  %rank.narrow = load i32, ptr %rank.at
  %rank = zext i32 %rank.narrow to i64
  %wanted.rank.at = getelementptr %spec, ptr %spec, i64 0, i32 1
  %wanted.rank = load i64, ptr %wanted.rank.at
  %same.rank = icmp eq i64 %rank, %wanted.rank
  %sound = and i1 %same.dtype, %same.flags
  %fits = and i1 %sound, %same.rank
  br i1 %fits, label %measure, label %reject

measure:
  %dimensions.at = getelementptr %array, ptr %object, i64 0, i32 4
  %dimensions = load ptr, ptr %dimensions.at
  %wanted.dimensions.at = getelementptr %spec, ptr %spec, i64 0, i32 2
  %wanted.dimensions = load ptr, ptr %wanted.dimensions.at
  br label %axes

axes:
  %axis = phi i64 [ 0, %measure ], [ %axis.next, %size ]
  %axis.more = icmp slt i64 %axis, %rank
  br i1 %axis.more, label %size, label %elements

elements:
  %data.at = getelementptr %array, ptr %object, i64 0, i32 2
  %data = load ptr, ptr %data.at
  br label %accept

size:
  %size.at = getelementptr i64, ptr %dimensions, i64 %axis
  %size.is = load i64, ptr %size.at
  %wanted.size.at = getelementptr i64, ptr %wanted.dimensions, i64 %axis
  %wanted.size = load i64, ptr %wanted.size.at
  %same.size = icmp eq i64 %size.is, %wanted.size
  %axis.next = add i64 %axis, 1
  br i1 %same.size, label %axes, label %reject

accept:
  %buffer = phi ptr [ %data, %elements ], [ %value.at, %scalar ], [ %value.at, %float ], [ %number.at, %narrow ]
  %buffer.at = getelementptr ptr, ptr %buffers, i64 %i
  store ptr %buffer, ptr %buffer.at
  %i.next = add i64 %i, 1
  br label %arguments.test

reject:
  %code = sub i64 -2, %i
  %rejected = call ptr @PyLong_FromLongLong(i64 %code)
  ret ptr %rejected

results.begin:
  %tuple = call ptr @PyTuple_New(i64 %results)
  %no.tuple = icmp eq ptr %tuple, null
  br i1 %no.tuple, label %fail, label %results.test

results.test:
  %j = phi i64 [ 0, %results.begin ], [ %j.next, %store ]
  %j.more = icmp slt i64 %j, %results
  br i1 %j.more, label %result, label %run

result:
  %result.spec = getelementptr %spec, ptr %result.specs, i64 %j
  %source.at = getelementptr %spec, ptr %result.spec, i64 0, i32 4
  %source = load i64, ptr %source.at
  %fresh = icmp slt i64 %source, 0
  br i1 %fresh, label %allocate, label %reuse

reuse:
  %donated.at = getelementptr ptr, ptr %buffers, i64 %source
  %donated = load ptr, ptr %donated.at
  %donated.bytes.at = getelementptr %spec, ptr %specs, i64 %source, i32 3
  %donated.bytes = load i64, ptr %donated.bytes.at
  %donated.end = getelementptr i8, ptr %donated, i64 %donated.bytes
  br label %others

others:
  %k = phi i64 [ 0, %reuse ], [ %k.next, %other ]
  %k.more = icmp slt i64 %k, %count
  br i1 %k.more, label %other, label %alone

other:
  %other.at = getelementptr ptr, ptr %buffers, i64 %k
  %other.buffer = load ptr, ptr %other.at
  %other.bytes.at = getelementptr %spec, ptr %specs, i64 %k, i32 3
  %other.bytes = load i64, ptr %other.bytes.at
  %other.end = getelementptr i8, ptr %other.buffer, i64 %other.bytes
  %starts.before = icmp ult ptr %other.buffer, %donated.end
  %ends.behind = icmp ugt ptr %other.end, %donated
  %overlaps = and i1 %starts.before, %ends.behind
  %different = icmp ne i64 %k, %source
  %twice = and i1 %overlaps, %different
  %k.next = add i64 %k, 1
  br i1 %twice, label %shared, label %others

shared:
  call void @Py_DecRef(ptr %tuple)
  %shared.code = sub i64 -2, %source
  %refused = call ptr @PyLong_FromLongLong(i64 %shared.code)
  ret ptr %refused

alone:
  %given.at = getelementptr ptr, ptr %arguments, i64 %source
  %reused = load ptr, ptr %given.at
  call void @Py_IncRef(ptr %reused)
  br label %store

allocate:
  %allocated = call ptr @dmc_new_array(ptr %result.spec)
  %none = icmp eq ptr %allocated, null
  br i1 %none, label %give.up, label %store

store:
  %array = phi ptr [ %reused, %alone ], [ %allocated, %allocate ]
  %array.data.at = getelementptr %array, ptr %array, i64 0, i32 2
  %array.data = load ptr, ptr %array.data.at
  %slot = add i64 %count, %j
  %slot.at = getelementptr ptr, ptr %buffers, i64 %slot
  store ptr %array.data, ptr %slot.at
  call i32 @PyTuple_SetItem(ptr %tuple, i64 %j, ptr %array)
  %j.next = add i64 %j, 1
  br label %results.test

run:
  %thread = call ptr @PyEval_SaveThread()
  %status = call i32 @dmc_locked_call(ptr %program, ptr %buffers)
  call void @PyEval_RestoreThread(ptr %thread)
  %ok = icmp eq i32 %status, 0
  br i1 %ok, label %succeed, label %report

succeed:
  ret ptr %tuple

report:
  call void @Py_DecRef(ptr %tuple)
  %status.wide = sext i32 %status to i64
  %reported = call ptr @PyLong_FromLongLong(i64 %status.wide)
  ret ptr %reported

give.up:
  call void @Py_DecRef(ptr %tuple)
  br label %fail

fail:
  ret ptr null
}

define i32 @dmc_mutex_init(ptr %mutex) nounwind {
  %status = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  ret i32 %status
}

define void @dmc_mutex_lock(ptr %mutex) nounwind {
  call i32 @pthread_mutex_lock(ptr %mutex)
  ret void
}

define void @dmc_mutex_unlock(ptr %mutex) nounwind {
  call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}

; Run the program. Python calls it with the buffers where the layouts above are not to be relied on.
define i32 @dmc_locked_call(ptr %program, ptr %buffers) nounwind {
  %code = load ptr, ptr %program
  %arena.at = getelementptr %program, ptr %program, i64 0, i32 1
  %mutex.at = getelementptr %program, ptr %program, i64 0, i32 6
  %mutex = load ptr, ptr %mutex.at
  call i32 @pthread_mutex_lock(ptr %mutex)
  ; Only now: the arena may be replaced by a larger one until nobody else has the mutex.
  %arena = load ptr, ptr %arena.at
  %stop = getelementptr %program, ptr %program, i64 0, i32 7
  %status = call i32 %code(ptr %buffers, ptr %arena, ptr %stop)
  call i32 @pthread_mutex_unlock(ptr %mutex)
  ret i32 %status
}

; While the word `@watched` is polled, `dmc_interrupted` stands in front of the handler of a signal.
@watched = internal global ptr null
@handler = internal global ptr null

define void @dmc_watch(ptr %word, ptr %handler) nounwind {
  store atomic ptr %handler, ptr @handler seq_cst, align 8
  store atomic ptr %word, ptr @watched seq_cst, align 8
  ret void
}

; What a handler may do at any time: set a word, and call the handler that was there.
define void @dmc_interrupted(i32 %signal, ptr %info, ptr %context) nounwind {
  %word = load atomic ptr, ptr @watched seq_cst, align 8
  %none = icmp eq ptr %word, null
  br i1 %none, label %pass.on, label %stop

stop:
  store atomic i32 1, ptr %word seq_cst, align 4
  br label %pass.on

pass.on:
  %handler = load atomic ptr, ptr @handler seq_cst, align 8
  call void %handler(i32 %signal, ptr %info, ptr %context)
  ret void
}
