; The pool of threads: see threads.py.
; mutex, threads sleep here, the caller sleeps here, the job, how many jobs there were
%Pool = type { [256 x i8], [256 x i8], [256 x i8], ptr, i64 }
; function, its parameters, next point, end, points taken at once, threads at work, threads that may join
%Job = type { ptr, ptr, i64, i64, i64, i64, i64 }

declare i32 @pthread_mutex_lock(ptr) nounwind
declare i32 @pthread_mutex_unlock(ptr) nounwind
declare i32 @pthread_cond_wait(ptr, ptr) nounwind
declare i32 @pthread_cond_signal(ptr) nounwind
declare i32 @pthread_cond_broadcast(ptr) nounwind
<declared>

define internal void @cr_stretches(ptr %job) nounwind {
  %fn = load ptr, ptr %job
  %params.at = getelementptr %Job, ptr %job, i64 0, i32 1
  %params = load ptr, ptr %params.at
  %next.at = getelementptr %Job, ptr %job, i64 0, i32 2
  %hi.at = getelementptr %Job, ptr %job, i64 0, i32 3
  %hi = load i64, ptr %hi.at
  %chunk.at = getelementptr %Job, ptr %job, i64 0, i32 4
  %chunk = load i64, ptr %chunk.at
  br label %take
take:
  %from = atomicrmw add ptr %next.at, i64 %chunk monotonic
  %left = icmp slt i64 %from, %hi
  br i1 %left, label %work, label %done
work:
  %end = add i64 %from, %chunk
  %to = call i64 @llvm.smin.i64(i64 %end, i64 %hi)
  call void %fn(ptr %params, i64 %from, i64 %to)
  br label %take
done:
  ret void
}
declare i64 @llvm.smin.i64(i64, i64)

define ptr @cr_worker(ptr %pool) nounwind {
start:
  %wake = getelementptr %Pool, ptr %pool, i64 0, i32 1
  %finished = getelementptr %Pool, ptr %pool, i64 0, i32 2
  %job.at = getelementptr %Pool, ptr %pool, i64 0, i32 3
  %count.at = getelementptr %Pool, ptr %pool, i64 0, i32 4
  br label %next
next:
  %seen = phi i64 [0, %start], [%now, %none], [%now, %leave]
  br label %look
look:
  %turn = phi i64 [0, %next], [%turn.next, %pause]
  %count = load atomic i64, ptr %count.at monotonic, align 8
  %new = icmp ne i64 %count, %seen
  %tired = icmp eq i64 %turn, <turns>
  %stop = or i1 %new, %tired
  br i1 %stop, label %enter, label %pause
pause:
  <pause>
  %turn.next = add i64 %turn, 1
  br label %look
enter:
  %locked = call i32 @pthread_mutex_lock(ptr %pool)
  br label %check
check:
  %now = load atomic i64, ptr %count.at monotonic, align 8
  %same = icmp eq i64 %now, %seen
  br i1 %same, label %sleep, label %awake
sleep:
  %slept = call i32 @pthread_cond_wait(ptr %wake, ptr %pool)
  br label %check
awake:
  %job = load ptr, ptr %job.at
  %gone = icmp eq ptr %job, null
  br i1 %gone, label %none, label %ask
ask:
  %room.at = getelementptr %Job, ptr %job, i64 0, i32 6
  %room = load i64, ptr %room.at
  %full = icmp sle i64 %room, 0
  br i1 %full, label %none, label %join
none:
  %unlocked = call i32 @pthread_mutex_unlock(ptr %pool)
  br label %next
join:
  %room.left = sub i64 %room, 1
  store i64 %room.left, ptr %room.at
  %active.at = getelementptr %Job, ptr %job, i64 0, i32 5
  %before = atomicrmw add ptr %active.at, i64 1 monotonic
  %unlocked.join = call i32 @pthread_mutex_unlock(ptr %pool)
  call void @cr_stretches(ptr %job)
  %locked.leave = call i32 @pthread_mutex_lock(ptr %pool)
  %was = atomicrmw sub ptr %active.at, i64 1 release
  %last = icmp eq i64 %was, 1
  br i1 %last, label %tell, label %leave
tell:
  %told = call i32 @pthread_cond_signal(ptr %finished)
  br label %leave
leave:
  %unlocked.leave = call i32 @pthread_mutex_unlock(ptr %pool)
  br label %next
}

define internal void @cr_spread(ptr %pool, ptr %fn, ptr %params, i64 %lo, i64 %hi, i64 %chunk, i64 %helpers) nounwind {
start:
  %job = alloca %Job
  %job.at = getelementptr %Pool, ptr %pool, i64 0, i32 3
  %locked = call i32 @pthread_mutex_lock(ptr %pool)
  %other = load ptr, ptr %job.at
  %free = icmp eq ptr %other, null
  br i1 %free, label %publish, label %alone
alone:
  %unlocked.alone = call i32 @pthread_mutex_unlock(ptr %pool)
  call void %fn(ptr %params, i64 %lo, i64 %hi)
  ret void
publish:
  %params.at = getelementptr %Job, ptr %job, i64 0, i32 1
  %next.at = getelementptr %Job, ptr %job, i64 0, i32 2
  %hi.at = getelementptr %Job, ptr %job, i64 0, i32 3
  %chunk.at = getelementptr %Job, ptr %job, i64 0, i32 4
  %active.at = getelementptr %Job, ptr %job, i64 0, i32 5
  %room.at = getelementptr %Job, ptr %job, i64 0, i32 6
  store ptr %fn, ptr %job
  store ptr %params, ptr %params.at
  store i64 %lo, ptr %next.at
  store i64 %hi, ptr %hi.at
  store i64 %chunk, ptr %chunk.at
  store i64 0, ptr %active.at
  store i64 %helpers, ptr %room.at
  store ptr %job, ptr %job.at
  %count.at = getelementptr %Pool, ptr %pool, i64 0, i32 4
  %count = atomicrmw add ptr %count.at, i64 1 release
  %wake = getelementptr %Pool, ptr %pool, i64 0, i32 1
  %single = icmp eq i64 %helpers, 1
  br i1 %single, label %one, label %all
one:
  %signalled = call i32 @pthread_cond_signal(ptr %wake)
  br label %share
all:
  %broadcast = call i32 @pthread_cond_broadcast(ptr %wake)
  br label %share
share:
  %unlocked.share = call i32 @pthread_mutex_unlock(ptr %pool)
  call void @cr_stretches(ptr %job)
  %locked.close = call i32 @pthread_mutex_lock(ptr %pool)
  store ptr null, ptr %job.at
  %unlocked.close = call i32 @pthread_mutex_unlock(ptr %pool)
  br label %look
look:
  %turn = phi i64 [0, %share], [%turn.next, %pause]
  %active = load atomic i64, ptr %active.at acquire, align 8
  %idle = icmp eq i64 %active, 0
  br i1 %idle, label %done, label %again
again:
  %tired = icmp eq i64 %turn, <turns>
  br i1 %tired, label %sleep, label %pause
pause:
  <pause>
  %turn.next = add i64 %turn, 1
  br label %look
sleep:
  %locked.sleep = call i32 @pthread_mutex_lock(ptr %pool)
  br label %check
check:
  %working = load atomic i64, ptr %active.at acquire, align 8
  %finished.all = icmp eq i64 %working, 0
  br i1 %finished.all, label %woken, label %wait
wait:
  %finished = getelementptr %Pool, ptr %pool, i64 0, i32 2
  %waited = call i32 @pthread_cond_wait(ptr %finished, ptr %pool)
  br label %check
woken:
  %unlocked.woken = call i32 @pthread_mutex_unlock(ptr %pool)
  br label %done
done:
  ret void
}
