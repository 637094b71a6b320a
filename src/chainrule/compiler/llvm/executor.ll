; The executor: see executor.py.
declare i32 @memcmp(ptr, ptr, i64) nounwind
declare i64 @llvm.smax.i64(i64, i64)

; records are of 8-byte words: how many, kind, then
;   a call: function, lo, hi, fewest points worth a thread's while (0: never split), parameters, then slot and offset of each
;   a guard: slot, offset, bytes, the slot of what is expected, what to return where it is not there
define i64 @cr_run(ptr %first, ptr %end, ptr %bases, ptr %params, ptr %pool, i64 %helpers) nounwind {
start:
  br label %next
next:
  %record = phi ptr [%first, %start], [%following, %called], [%following, %guard]
  %over = icmp eq ptr %record, %end
  br i1 %over, label %done, label %step
done:
  ret i64 0
step:
  %words = load i64, ptr %record
  %following = getelementptr i64, ptr %record, i64 %words
  %kind.at = getelementptr i64, ptr %record, i64 1
  %kind = load i64, ptr %kind.at
  %a.at = getelementptr i64, ptr %record, i64 2
  %b.at = getelementptr i64, ptr %record, i64 3
  %c.at = getelementptr i64, ptr %record, i64 4
  %d.at = getelementptr i64, ptr %record, i64 5
  %e.at = getelementptr i64, ptr %record, i64 6
  %b = load i64, ptr %b.at
  %c = load i64, ptr %c.at
  %d = load i64, ptr %d.at
  %e = load i64, ptr %e.at
  %is.call = icmp eq i64 %kind, 0
  br i1 %is.call, label %call, label %guard

call:
  %function = load ptr, ptr %a.at
  %args = getelementptr i64, ptr %record, i64 7
  br label %arg
arg:
  %k = phi i64 [0, %call], [%k.next, %resolve]
  %all = icmp eq i64 %k, %e
  br i1 %all, label %ready, label %resolve
resolve:
  %pair = shl i64 %k, 1
  %slot.at = getelementptr i64, ptr %args, i64 %pair
  %slot = load i64, ptr %slot.at
  %offset.at = getelementptr i64, ptr %slot.at, i64 1
  %offset = load i64, ptr %offset.at
  %base.at = getelementptr ptr, ptr %bases, i64 %slot
  %base = load ptr, ptr %base.at
  %param = getelementptr i8, ptr %base, i64 %offset
  %param.at = getelementptr ptr, ptr %params, i64 %k
  store ptr %param, ptr %param.at
  %k.next = add i64 %k, 1
  br label %arg
ready:
  %large = icmp ne i64 %d, 0
  %helped = icmp ne i64 %helpers, 0
  %split = and i1 %large, %helped
  br i1 %split, label %several, label %alone
alone:
  call void %function(ptr %params, i64 %b, i64 %c)
  br label %called
several:
  %points = sub i64 %c, %b
  %workers = add i64 %helpers, 1
  %stretches = mul i64 %workers, <stretches>
  %even = udiv i64 %points, %stretches
  %grains = udiv i64 %even, %d
  %some = call i64 @llvm.smax.i64(i64 %grains, i64 1)
  %chunk = mul i64 %some, %d
  call void @cr_spread(ptr %pool, ptr %function, ptr %params, i64 %b, i64 %c, i64 %chunk, i64 %helpers)
  br label %called
called:
  br label %next

guard:
  %a = load i64, ptr %a.at
  %found.at = getelementptr ptr, ptr %bases, i64 %a
  %found.base = load ptr, ptr %found.at
  %found = getelementptr i8, ptr %found.base, i64 %b
  %expected.at = getelementptr ptr, ptr %bases, i64 %d
  %expected = load ptr, ptr %expected.at
  %difference = call i32 @memcmp(ptr %found, ptr %expected, i64 %c)
  %holds = icmp eq i32 %difference, 0
  br i1 %holds, label %next, label %failed
failed:
  ret i64 %e
}

; params: a block of numbers (see `blas.numbers`), a, b, out; for the batches lo to hi: out = alpha a b + beta out
define void @cr_gemm(ptr %params, i64 %lo, i64 %hi) nounwind {
start:
  %block = load ptr, ptr %params
  %a.at = getelementptr ptr, ptr %params, i64 1
  %b.at = getelementptr ptr, ptr %params, i64 2
  %c.at = getelementptr ptr, ptr %params, i64 3
  %a = load ptr, ptr %a.at
  %b = load ptr, ptr %b.at
  %c = load ptr, ptr %c.at
  %function = load ptr, ptr %block
  %trans.a = getelementptr i64, ptr %block, i64 1
  %trans.b = getelementptr i64, ptr %block, i64 2
  %m = getelementptr i64, ptr %block, i64 3
  %n = getelementptr i64, ptr %block, i64 4
  %k = getelementptr i64, ptr %block, i64 5
  %alpha = getelementptr i64, ptr %block, i64 6
  %lda = getelementptr i64, ptr %block, i64 7
  %ldb = getelementptr i64, ptr %block, i64 8
  %beta = getelementptr i64, ptr %block, i64 9
  %ldc = getelementptr i64, ptr %block, i64 10
  %size.1.at = getelementptr i64, ptr %block, i64 11
  %size.2.at = getelementptr i64, ptr %block, i64 12
  %size.1 = load i64, ptr %size.1.at
  %size.2 = load i64, ptr %size.2.at
  %step.a.0.at = getelementptr i64, ptr %block, i64 13
  %step.a.0 = load i64, ptr %step.a.0.at
  %step.a.1.at = getelementptr i64, ptr %block, i64 14
  %step.a.1 = load i64, ptr %step.a.1.at
  %step.a.2.at = getelementptr i64, ptr %block, i64 15
  %step.a.2 = load i64, ptr %step.a.2.at
  %step.b.0.at = getelementptr i64, ptr %block, i64 16
  %step.b.0 = load i64, ptr %step.b.0.at
  %step.b.1.at = getelementptr i64, ptr %block, i64 17
  %step.b.1 = load i64, ptr %step.b.1.at
  %step.b.2.at = getelementptr i64, ptr %block, i64 18
  %step.b.2 = load i64, ptr %step.b.2.at
  %step.c.0.at = getelementptr i64, ptr %block, i64 19
  %step.c.0 = load i64, ptr %step.c.0.at
  %step.c.1.at = getelementptr i64, ptr %block, i64 20
  %step.c.1 = load i64, ptr %step.c.1.at
  %step.c.2.at = getelementptr i64, ptr %block, i64 21
  %step.c.2 = load i64, ptr %step.c.2.at
  br label %next
next:
  %i = phi i64 [%lo, %start], [%i.next, %batch]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %batch, label %done
batch:
  %i.2 = urem i64 %i, %size.2
  %i.rest = udiv i64 %i, %size.2
  %i.1 = urem i64 %i.rest, %size.1
  %i.0 = udiv i64 %i.rest, %size.1
  %offset.a.0 = mul i64 %i.0, %step.a.0
  %offset.a.1 = mul i64 %i.1, %step.a.1
  %offset.a.2 = mul i64 %i.2, %step.a.2
  %offset.a.01 = add i64 %offset.a.0, %offset.a.1
  %offset.a = add i64 %offset.a.01, %offset.a.2
  %offset.b.0 = mul i64 %i.0, %step.b.0
  %offset.b.1 = mul i64 %i.1, %step.b.1
  %offset.b.2 = mul i64 %i.2, %step.b.2
  %offset.b.01 = add i64 %offset.b.0, %offset.b.1
  %offset.b = add i64 %offset.b.01, %offset.b.2
  %offset.c.0 = mul i64 %i.0, %step.c.0
  %offset.c.1 = mul i64 %i.1, %step.c.1
  %offset.c.2 = mul i64 %i.2, %step.c.2
  %offset.c.01 = add i64 %offset.c.0, %offset.c.1
  %offset.c = add i64 %offset.c.01, %offset.c.2
  %ai = getelementptr i8, ptr %a, i64 %offset.a
  %bi = getelementptr i8, ptr %b, i64 %offset.b
  %ci = getelementptr i8, ptr %c, i64 %offset.c
  call void %function(ptr %trans.a, ptr %trans.b, ptr %m, ptr %n, ptr %k, ptr %alpha, ptr %ai, ptr %lda, ptr %bi, ptr %ldb,
    ptr %beta, ptr %ci, ptr %ldc)
  %i.next = add i64 %i, 1
  br label %next
done:
  ret void
}
