; The thread pool that compiled programs run their parallel loops on: LLVM IR over POSIX threads,
; so that nothing of Python takes part. Compiled into the process once; an ahead-of-time library
; carries its own copy. `@pause`, the target's hint for waiting in a loop, is added when this is read, and
; `SIG_SETMASK` filled in.
;
; One region runs at a time: a call made while another is running (nested in a task, or from another
; thread) runs its tasks one after the other where it is. Tasks are claimed from an atomic counter:
; which thread runs which task varies, what the tasks are does not.

%signals = type [16 x i64]

; The region being run.
@function = internal global ptr null, align 128
@context = internal global ptr null
@count = internal global i64 0
; Counts regions; workers watch it for a change.
@generation = internal global i64 0, align 128
; Generation in the upper half, next task in the lower: a worker late for one region cannot claim a
; task of the next. It is -1, which nobody can claim, while the region above is being rewritten: so a
; claim that succeeds proves that what was read of the region before belongs to it.
@next = internal global i64 0, align 128
; Tasks finished.
@done = internal global i64 0, align 128

@busy = internal global i32 0, align 128      ; a region is running
@waiting = internal global i32 0              ; the caller sleeps until `done` is complete
@sleepers = internal global i64 0             ; workers asleep
@stopping = internal global i32 0
@process = internal global i32 0              ; that the workers belong to (a fork has none); negative
                                              ; while one of its threads makes everything new
@threads = internal global i64 1              ; wanted, the caller included
@started = internal global i64 0              ; workers running
@spins = internal global i64 0                ; pauses before sleep
@handles = internal global [1024 x i64] zeroinitializer
@index_key = internal global i32 0            ; thread-specific: index of a worker
@keyed = internal global i32 0                ; the key is there

; At least as large as any platform's pthread_mutex_t and pthread_cond_t.
@mutex = internal global [128 x i8] zeroinitializer, align 128
@work = internal global [128 x i8] zeroinitializer, align 16
@finished = internal global [128 x i8] zeroinitializer, align 16

declare i32 @getpid()
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare i32 @pthread_key_create(ptr, ptr)
declare i32 @pthread_setspecific(i32, ptr)
declare ptr @pthread_getspecific(i32)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @sigfillset(ptr)

; function(context, task, worker) for every task in 0 … count - 1, where 0 <= worker < threads.
define void @dmc_parallel_for(ptr %function, ptr %context, i64 %count) nounwind {
entry:
  %threads = load atomic i64, ptr @threads monotonic, align 8
  %one_thread = icmp sle i64 %threads, 1
  %one_task = icmp sle i64 %count, 1
  %alone = or i1 %one_thread, %one_task
  br i1 %alone, label %serial, label %try

try:
  %process = call i32 @getpid()
  %known = load atomic i32, ptr @process acquire, align 4
  %same = icmp eq i32 %process, %known
  br i1 %same, label %enter, label %forked

forked:
  call void @reset(i32 %process)
  br label %enter

enter:
  %claim = cmpxchg ptr @busy, i32 0, i32 1 acquire monotonic
  %free = extractvalue { i32, i1 } %claim, 1
  br i1 %free, label %region, label %serial

serial:
  call void @run_serially(ptr %function, ptr %context, i64 %count)
  ret void

region:
  call void @start()
  store atomic i64 -1, ptr @next monotonic, align 8
  fence release
  store atomic ptr %function, ptr @function monotonic, align 8
  store atomic ptr %context, ptr @context monotonic, align 8
  store atomic i64 %count, ptr @count monotonic, align 8
  store atomic i64 0, ptr @done monotonic, align 8
  %before = load atomic i64, ptr @generation monotonic, align 8
  %incremented = add i64 %before, 1
  %generation = and i64 %incremented, 4294967295
  %ticket = shl i64 %generation, 32
  store atomic i64 %ticket, ptr @next release, align 8
  store atomic i64 %generation, ptr @generation seq_cst, align 8
  %sleepers = load atomic i64, ptr @sleepers seq_cst, align 8
  %asleep = icmp sgt i64 %sleepers, 0
  br i1 %asleep, label %wake, label %share

wake:
  %others = sub i64 %count, 1
  call void @wake(i64 %others)
  br label %share

share:
  call void @take_tasks(i64 %generation, i64 0)
  call void @wait_for_tasks(i64 %count)
  store atomic i32 0, ptr @busy release, align 4
  ret void
}

define internal void @run_serially(ptr %function, ptr %context, i64 %count) nounwind {
entry:
  %keyed = load atomic i32, ptr @keyed acquire, align 4
  %ready = icmp ne i32 %keyed, 0
  br i1 %ready, label %lookup, label %begin

lookup:
  %key = load i32, ptr @index_key
  %index = call ptr @pthread_getspecific(i32 %key)
  %own = ptrtoint ptr %index to i64
  br label %begin

begin:
  %worker = phi i64 [ 0, %entry ], [ %own, %lookup ]
  br label %test

test:
  %task = phi i64 [ 0, %begin ], [ %following, %body ]
  %more = icmp slt i64 %task, %count
  br i1 %more, label %body, label %done

body:
  call void %function(ptr %context, i64 %task, i64 %worker)
  %following = add i64 %task, 1
  br label %test

done:
  ret void
}

; Claim and run tasks of the region until none is left.
define internal void @take_tasks(i64 %generation, i64 %worker) nounwind {
entry:
  %function = load atomic ptr, ptr @function monotonic, align 8
  %context = load atomic ptr, ptr @context monotonic, align 8
  %count = load atomic i64, ptr @count monotonic, align 8
  fence acquire
  br label %look

look:
  %taken = phi i64 [ 0, %entry ], [ %taken, %claim ], [ %more, %run ]
  %ticket = load atomic i64, ptr @next acquire, align 8
  %of = lshr i64 %ticket, 32
  %task = and i64 %ticket, 4294967295
  %current = icmp eq i64 %of, %generation
  %left = icmp ult i64 %task, %count
  %go = and i1 %current, %left
  br i1 %go, label %claim, label %leave

claim:
  %following = add i64 %ticket, 1
  %swap = cmpxchg weak ptr @next, i64 %ticket, i64 %following acq_rel monotonic
  %mine = extractvalue { i64, i1 } %swap, 1
  br i1 %mine, label %run, label %look

run:
  call void %function(ptr %context, i64 %task, i64 %worker)
  %more = add i64 %taken, 1
  br label %look

leave:
  %none = icmp eq i64 %taken, 0
  br i1 %none, label %exit, label %report

report:
  %earlier = atomicrmw add ptr @done, i64 %taken seq_cst
  %total = add i64 %earlier, %taken
  %last = icmp eq i64 %total, %count
  br i1 %last, label %check, label %exit

check:
  %waiting = load atomic i32, ptr @waiting seq_cst, align 4
  %awaited = icmp ne i32 %waiting, 0
  br i1 %awaited, label %signal, label %exit

signal:
  call i32 @pthread_mutex_lock(ptr @mutex)
  call i32 @pthread_cond_signal(ptr @finished)
  call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %exit

exit:
  ret void
}

define internal void @wait_for_tasks(i64 %count) nounwind {
entry:
  %spins = load atomic i64, ptr @spins monotonic, align 8
  br label %spin

spin:
  %spun = phi i64 [ 0, %entry ], [ %again, %pause ]
  %done = load atomic i64, ptr @done acquire, align 8
  %complete = icmp eq i64 %done, %count
  br i1 %complete, label %exit, label %patience

patience:
  %tired = icmp sge i64 %spun, %spins
  br i1 %tired, label %sleep, label %pause

pause:
  call void @pause()
  %again = add i64 %spun, 1
  br label %spin

sleep:
  call i32 @pthread_mutex_lock(ptr @mutex)
  store atomic i32 1, ptr @waiting seq_cst, align 4
  br label %recheck

recheck:
  %now = load atomic i64, ptr @done seq_cst, align 8
  %ready = icmp eq i64 %now, %count
  br i1 %ready, label %awake, label %wait

wait:
  call i32 @pthread_cond_wait(ptr @finished, ptr @mutex)
  br label %recheck

awake:
  store atomic i32 0, ptr @waiting seq_cst, align 4
  call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %exit

exit:
  ret void
}

; Wake as many as `wanted` workers.
define internal void @wake(i64 %wanted) nounwind {
entry:
  call i32 @pthread_mutex_lock(ptr @mutex)
  %sleepers = load atomic i64, ptr @sleepers monotonic, align 8
  %all = icmp sge i64 %wanted, %sleepers
  br i1 %all, label %everyone, label %some

everyone:
  call i32 @pthread_cond_broadcast(ptr @work)
  br label %exit

some:
  %woken = phi i64 [ 0, %entry ], [ %more, %some ]
  call i32 @pthread_cond_signal(ptr @work)
  %more = add i64 %woken, 1
  %enough = icmp sge i64 %more, %wanted
  br i1 %enough, label %exit, label %some

exit:
  call i32 @pthread_mutex_unlock(ptr @mutex)
  ret void
}

define internal ptr @worker(ptr %argument) nounwind {
entry:
  %key = load i32, ptr @index_key
  call i32 @pthread_setspecific(i32 %key, ptr %argument)
  %index = ptrtoint ptr %argument to i64
  br label %idle

idle:
  %seen = phi i64 [ 0, %entry ], [ %generation, %region ]
  %spins = load atomic i64, ptr @spins monotonic, align 8
  br label %spin

spin:
  %spun = phi i64 [ 0, %idle ], [ %again, %pause ]
  %published = load atomic i64, ptr @generation acquire, align 8
  %changed = icmp ne i64 %published, %seen
  br i1 %changed, label %ready, label %patience

patience:
  %tired = icmp sge i64 %spun, %spins
  br i1 %tired, label %sleep, label %pause

pause:
  call void @pause()
  %again = add i64 %spun, 1
  br label %spin

sleep:
  call i32 @pthread_mutex_lock(ptr @mutex)
  atomicrmw add ptr @sleepers, i64 1 seq_cst
  br label %recheck

recheck:
  %now = load atomic i64, ptr @generation seq_cst, align 8
  %fresh = icmp ne i64 %now, %seen
  br i1 %fresh, label %awake, label %wait

wait:
  call i32 @pthread_cond_wait(ptr @work, ptr @mutex)
  br label %recheck

awake:
  atomicrmw sub ptr @sleepers, i64 1 seq_cst
  call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %ready

ready:
  %generation = phi i64 [ %published, %spin ], [ %now, %awake ]
  %stopping = load atomic i32, ptr @stopping acquire, align 4
  %stop = icmp ne i32 %stopping, 0
  br i1 %stop, label %exit, label %region

region:
  call void @take_tasks(i64 %generation, i64 %index)
  br label %idle

exit:
  ret ptr null
}

; Start the workers that are missing; those that the system refuses are done without.
define internal void @start() nounwind {
entry:
  %blocked = alloca %signals, align 16
  %previous = alloca %signals, align 16
  %handle = alloca i64, align 8
  %threads = load atomic i64, ptr @threads monotonic, align 8
  %wanted = sub i64 %threads, 1
  %started = load i64, ptr @started
  %enough = icmp sge i64 %started, %wanted
  br i1 %enough, label %exit, label %prepare

prepare:
  ; Signals are for the threads of the program.
  call i32 @sigfillset(ptr %blocked)
  call i32 @pthread_sigmask(i32 SIG_SETMASK, ptr %blocked, ptr %previous)
  br label %create

create:
  %running = phi i64 [ %started, %prepare ], [ %index, %next ]
  %index = add i64 %running, 1
  %argument = inttoptr i64 %index to ptr
  %status = call i32 @pthread_create(ptr %handle, ptr null, ptr @worker, ptr %argument)
  %ok = icmp eq i32 %status, 0
  br i1 %ok, label %next, label %refused

next:
  %value = load i64, ptr %handle
  %place = getelementptr [1024 x i64], ptr @handles, i64 0, i64 %running
  store i64 %value, ptr %place
  store i64 %index, ptr @started
  %all = icmp sge i64 %index, %wanted
  br i1 %all, label %restore, label %create

refused:
  store atomic i64 %index, ptr @threads monotonic, align 8
  br label %restore

restore:
  call i32 @pthread_sigmask(i32 SIG_SETMASK, ptr %previous, ptr null)
  br label %exit

exit:
  ret void
}

; Make everything new, in a process that has no workers: the first one, or a fork. One thread does so,
; and others wait for it: the second would throw away the workers and the region of the first.
define internal void @reset(i32 %process) nounwind {
entry:
  %mine = sub i32 0, %process
  br label %look

look:
  %known = load atomic i32, ptr @process acquire, align 4
  %done = icmp eq i32 %known, %process
  br i1 %done, label %exit, label %others

others:
  ; Who was at it in another process is not in this one.
  %taken = icmp eq i32 %known, %mine
  br i1 %taken, label %wait, label %claim

wait:
  call void @pause()
  br label %look

claim:
  %swap = cmpxchg ptr @process, i32 %known, i32 %mine acquire monotonic
  %claimed = extractvalue { i32, i1 } %swap, 1
  br i1 %claimed, label %prepare, label %look

prepare:
  %keyed = load atomic i32, ptr @keyed acquire, align 4
  %unkeyed = icmp eq i32 %keyed, 0
  br i1 %unkeyed, label %key, label %state

key:
  call i32 @pthread_key_create(ptr @index_key, ptr null)
  store atomic i32 1, ptr @keyed release, align 4
  br label %state

state:
  call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  call i32 @pthread_cond_init(ptr @work, ptr null)
  call i32 @pthread_cond_init(ptr @finished, ptr null)
  store i64 0, ptr @started
  ; What is left of a region that the fork interrupted is for nobody to claim.
  store atomic i64 -1, ptr @next monotonic, align 8
  store atomic i64 0, ptr @generation monotonic, align 8
  store atomic i64 0, ptr @sleepers monotonic, align 8
  store atomic i32 0, ptr @waiting monotonic, align 4
  store atomic i32 0, ptr @stopping monotonic, align 4
  store atomic i32 0, ptr @busy monotonic, align 4
  store atomic i32 %process, ptr @process seq_cst, align 4
  br label %exit

exit:
  ret void
}

; Let regions use `threads` threads from now on, which pause `spins` times before they sleep.
; With 1, all workers have ended on return. Returns 0, or 1 if a region is running.
define i32 @dmc_pool_configure(i64 %threads, i64 %spins) nounwind {
entry:
  %process = call i32 @getpid()
  %known = load atomic i32, ptr @process acquire, align 4
  %same = icmp eq i32 %process, %known
  br i1 %same, label %enter, label %fresh

fresh:
  call void @reset(i32 %process)
  br label %enter

enter:
  %claim = cmpxchg ptr @busy, i32 0, i32 1 acquire monotonic
  %free = extractvalue { i32, i1 } %claim, 1
  br i1 %free, label %change, label %refuse

refuse:
  ret i32 1

change:
  store atomic i64 %threads, ptr @threads monotonic, align 8
  store atomic i64 %spins, ptr @spins monotonic, align 8
  %started = load i64, ptr @started
  %wanted = sub i64 %threads, 1
  %fewer = icmp sgt i64 %started, %wanted
  br i1 %fewer, label %stop, label %exit

stop:
  store atomic i32 1, ptr @stopping release, align 4
  ; Nothing is left to claim under the new generation: its ticket is never published.
  %before = load atomic i64, ptr @generation monotonic, align 8
  %incremented = add i64 %before, 1
  %generation = and i64 %incremented, 4294967295
  store atomic i64 %generation, ptr @generation seq_cst, align 8
  call void @wake(i64 %started)
  br label %join

join:
  %i = phi i64 [ 0, %stop ], [ %following, %join ]
  %place = getelementptr [1024 x i64], ptr @handles, i64 0, i64 %i
  %handle = load i64, ptr %place
  call i32 @pthread_join(i64 %handle, ptr null)
  %following = add i64 %i, 1
  %more = icmp slt i64 %following, %started
  br i1 %more, label %join, label %stopped

stopped:
  store i64 0, ptr @started
  store atomic i32 0, ptr @stopping release, align 4
  br label %exit

exit:
  store atomic i32 0, ptr @busy release, align 4
  ret i32 0
}

; How long a number of pauses takes is for the caller to measure.
define void @dmc_pool_pause(i64 %count) nounwind {
entry:
  br label %pause

pause:
  %paused = phi i64 [ 0, %entry ], [ %more, %pause ]
  call void @pause()
  %more = add i64 %paused, 1
  %enough = icmp sge i64 %more, %count
  br i1 %enough, label %exit, label %pause

exit:
  ret void
}
