; The entry of a call from Python: see entry.py, which fills in what stands in angle brackets.
declare void @Py_IncRef(ptr) nounwind
declare void @Py_DecRef(ptr) nounwind
declare ptr @PyTuple_New(i64) nounwind
declare i32 @PyTuple_SetItem(ptr, i64, ptr) nounwind
declare ptr @PyLong_FromLongLong(i64) nounwind
declare ptr @PyErr_NoMemory() nounwind
declare ptr @PyEval_SaveThread() nounwind
declare void @PyEval_RestoreThread(ptr) nounwind
declare i32 @PyContextVar_Get(ptr, ptr, ptr) nounwind
declare ptr @malloc(i64) nounwind
declare void @free(ptr) nounwind
declare ptr @llvm.ptrmask.p0.i64(ptr, i64)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

define internal void @cr_drop(ptr %objects, i64 %count) nounwind {
  br label %next
next:
  %k = phi i64 [0, %0], [%k.next, %one]
  %over = icmp sge i64 %k, %count
  br i1 %over, label %done, label %one
one:
  %at = getelementptr ptr, ptr %objects, i64 %k
  %object = load ptr, ptr %at
  call void @Py_DecRef(ptr %object)
  store ptr null, ptr %at
  %k.next = add i64 %k, 1
  br label %next
done:
  ret void
}

define ptr @cr_call(ptr %self, ptr %args, i64 %count) nounwind {
start:
  %array.at = getelementptr i8, ptr %self, i64 <TABLE>
  %array = load ptr, ptr %array.at
  %table.at = getelementptr i8, ptr %array, i64 16
  %table = load ptr, ptr %table.at
<HEAD>
  %given = icmp eq i64 %count, %h.inputs
  br i1 %given, label %modes, label %refuse
refuse:
  call void @Py_IncRef(ptr %h.refused)
  ret ptr %h.refused

modes:
  %mode.at = alloca ptr
  %bases = alloca ptr, i64 %h.slots
  %params = alloca ptr, i64 %h.params
  %held = alloca ptr, i64 %h.inputs
  %outs = alloca ptr, i64 %h.outputs
  %direct.bytes = mul i64 %h.outputs, <DIRECT>
  %direct = alloca i8, i64 %direct.bytes, align 16
  %outs.bytes = shl i64 %h.outputs, 3
  call void @llvm.memset.p0.i64(ptr %outs, i8 0, i64 %outs.bytes, i1 false)
  %targets = alloca ptr, i64 %h.outputs
  call void @llvm.memset.p0.i64(ptr %targets, i8 0, i64 %outs.bytes, i1 false)
  %bases.bytes = shl i64 %h.slots, 3
  call void @llvm.memcpy.p0.p0.i64(ptr %bases, ptr %h.template, i64 %bases.bytes, i1 false)
  %any.mode = icmp eq ptr %h.context, null
  br i1 %any.mode, label %input.start, label %mode
mode:
  store ptr null, ptr %mode.at
  %got = call i32 @PyContextVar_Get(ptr %h.context, ptr null, ptr %mode.at)
  %got.not = icmp slt i32 %got, 0
  br i1 %got.not, label %raised, label %mode.compare
raised:
  ret ptr null
mode.compare:
  %mode.now = load ptr, ptr %mode.at
  call void @Py_DecRef(ptr %mode.now)
  %is.a = icmp eq ptr %mode.now, %h.mode_a
  %is.b = icmp eq ptr %mode.now, %h.mode_b
  %is.mode = or i1 %is.a, %is.b
  br i1 %is.mode, label %input.start, label %refuse

input.start:
  br label %input.next
input.next:
  %i = phi i64 [0, %input.start], [%i.next, %input.taken]
  %i.over = icmp eq i64 %i, %h.inputs
  br i1 %i.over, label %output.start, label %input
input:
  %spec.offset = mul i64 %i, <INPUT_WORDS>
  %spec = getelementptr i64, ptr %h.input_specs, i64 %spec.offset
<INPUT>
  %arg.at = getelementptr ptr, ptr %args, i64 %i.source
  %arg = load ptr, ptr %arg.at
  %is.array = icmp eq ptr %i.class, null
  br i1 %is.array, label %payload, label %tensor
tensor:
  %type.at = getelementptr i8, ptr %arg, i64 8
  %type = load ptr, ptr %type.at
  %is.class = icmp eq ptr %type, %i.class
  br i1 %is.class, label %tensor.node, label %refuse
tensor.node:
  %node.at = getelementptr i8, ptr %arg, i64 <NODE>
  %node = load ptr, ptr %node.at
  %own.node = icmp eq ptr %node, %i.node
  %any.node = icmp eq ptr %i.node, null
  %is.node = or i1 %own.node, %any.node
  %data.at = getelementptr i8, ptr %arg, i64 <DATA>
  %data = load ptr, ptr %data.at
  %is.set = icmp ne ptr %data, null
  %is.fine = and i1 %is.node, %is.set
  br i1 %is.fine, label %payload, label %refuse
payload:
  %object = phi ptr [%arg, %input], [%data, %tensor.node]
  %kind.at = getelementptr i8, ptr %object, i64 8
  %kind = load ptr, ptr %kind.at
  %is.ndarray = icmp eq ptr %kind, %h.ndarray
  %value.at = getelementptr i8, ptr %object, i64 16
  br i1 %is.ndarray, label %ndarray, label %scalar
scalar:
  %is.own = icmp eq ptr %kind, %i.scalar
  %is.number = icmp eq ptr %kind, %i.number
  %is.scalar = or i1 %is.own, %is.number
  br i1 %is.scalar, label %taken, label %refuse
ndarray:
  %nd.at = getelementptr i8, ptr %object, i64 24
  %nd.32 = load i32, ptr %nd.at
  %nd = sext i32 %nd.32 to i64
  %same.nd = icmp eq i64 %nd, %i.nd
  %descr.at = getelementptr i8, ptr %object, i64 56
  %descr = load ptr, ptr %descr.at
  %same.descr = icmp eq ptr %descr, %i.descr
  %flags.at = getelementptr i8, ptr %object, i64 64
  %flags = load i32, ptr %flags.at
  %aligned.bit = and i32 %flags, <ALIGNED>
  %aligned = icmp ne i32 %aligned.bit, 0
  %same.a = and i1 %same.nd, %same.descr
  %same = and i1 %same.a, %aligned
  br i1 %same, label %axes, label %refuse
axes:
  %dims.at = getelementptr i8, ptr %object, i64 32
  %dims = load ptr, ptr %dims.at
  %steps.at = getelementptr i8, ptr %object, i64 40
  %steps = load ptr, ptr %steps.at
  %steps.wanted = getelementptr i64, ptr %i.sizes, i64 %nd
  br label %axis.next
axis.next:
  %k = phi i64 [0, %axes], [%k.next, %axis]
  %axes.over = icmp eq i64 %k, %nd
  br i1 %axes.over, label %array.taken, label %axis
axis:
  %dim.at = getelementptr i64, ptr %dims, i64 %k
  %dim = load i64, ptr %dim.at
  %dim.wanted.at = getelementptr i64, ptr %i.sizes, i64 %k
  %dim.wanted = load i64, ptr %dim.wanted.at
  %step.at = getelementptr i64, ptr %steps, i64 %k
  %step = load i64, ptr %step.at
  %step.wanted.at = getelementptr i64, ptr %steps.wanted, i64 %k
  %step.wanted = load i64, ptr %step.wanted.at
  %dim.same = icmp eq i64 %dim, %dim.wanted
  %step.same = icmp eq i64 %step, %step.wanted
  %one = icmp sle i64 %dim, 1
  %step.fine = or i1 %step.same, %one
  %axis.fine = and i1 %dim.same, %step.fine
  %k.next = add i64 %k, 1
  br i1 %axis.fine, label %axis.next, label %refuse
array.taken:
  %elements = load ptr, ptr %value.at
  br label %taken
taken:
  %memory = phi ptr [%value.at, %scalar], [%elements, %array.taken]
  %base.at = getelementptr ptr, ptr %bases, i64 %i.slot
  store ptr %memory, ptr %base.at
  %held.at = getelementptr ptr, ptr %held, i64 %i
  store ptr %object, ptr %held.at
  br label %input.taken
input.taken:
  %i.next = add i64 %i, 1
  br label %input.next

output.start:
  br label %output.next
output.next:
  %j = phi i64 [0, %output.start], [%j.next, %output.made]
  %j.over = icmp eq i64 %j, %h.outputs
  br i1 %j.over, label %arena, label %output
output:
  %ospec.offset = mul i64 %j, <OUTPUT_WORDS>
  %ospec = getelementptr i64, ptr %h.output_specs, i64 %ospec.offset
<OUTPUT>
  %j.next = add i64 %j, 1
  %obase.at = getelementptr ptr, ptr %bases, i64 %o.slot
  %is.result = icmp eq ptr %o.target, null
  br i1 %is.result, label %output.place, label %target
target: ; a tensor that takes the values: its array is held, and must still be as it was
  %target.array.at = getelementptr i8, ptr %o.target, i64 <DATA>
  %target.array = load ptr, ptr %target.array.at
  %target.set = icmp ne ptr %target.array, null
  br i1 %target.set, label %target.look, label %refuse.made
target.look:
  %target.type.at = getelementptr i8, ptr %target.array, i64 8
  %target.type = load ptr, ptr %target.type.at
  %target.is = icmp eq ptr %target.type, %h.ndarray
  br i1 %target.is, label %target.array.look, label %refuse.made
target.array.look:
  %target.nd.at = getelementptr i8, ptr %target.array, i64 24
  %target.nd.32 = load i32, ptr %target.nd.at
  %target.nd = sext i32 %target.nd.32 to i64
  %target.nd.same = icmp eq i64 %target.nd, %o.nd
  %target.descr.at = getelementptr i8, ptr %target.array, i64 56
  %target.descr = load ptr, ptr %target.descr.at
  %target.descr.same = icmp eq ptr %target.descr, %o.descr
  %target.flags.at = getelementptr i8, ptr %target.array, i64 64
  %target.flags.all = load i32, ptr %target.flags.at
  %target.flags = and i32 %target.flags.all, <PLAIN>
  %target.flags.same = icmp eq i32 %target.flags, <PLAIN>
  %target.same.a = and i1 %target.nd.same, %target.descr.same
  %target.same = and i1 %target.same.a, %target.flags.same
  br i1 %target.same, label %target.axes, label %refuse.made
target.axes:
  %target.dims.at = getelementptr i8, ptr %target.array, i64 32
  %target.dims = load ptr, ptr %target.dims.at
  br label %target.next
target.next:
  %t = phi i64 [0, %target.axes], [%t.next, %target.axis]
  %target.over = icmp eq i64 %t, %o.nd
  br i1 %target.over, label %target.held, label %target.axis
target.axis:
  %target.dim.at = getelementptr i64, ptr %target.dims, i64 %t
  %target.dim = load i64, ptr %target.dim.at
  %target.wanted.at = getelementptr i64, ptr %o.shape, i64 %t
  %target.wanted = load i64, ptr %target.wanted.at
  %target.dim.same = icmp eq i64 %target.dim, %target.wanted
  %t.next = add i64 %t, 1
  br i1 %target.dim.same, label %target.next, label %refuse.made
target.held:
  call void @Py_IncRef(ptr %target.array)
  %held.target.at = getelementptr ptr, ptr %targets, i64 %j
  store ptr %target.array, ptr %held.target.at
  br label %output.place
output.place:
  %is.direct = icmp eq i64 %o.nd, 0
  br i1 %is.direct, label %output.direct, label %output.array
output.direct:
  %direct.offset = mul i64 %j, <DIRECT>
  %direct.at = getelementptr i8, ptr %direct, i64 %direct.offset
  store ptr %direct.at, ptr %obase.at
  br label %output.made
output.array:
  call void @Py_IncRef(ptr %o.descr)
  %o.nd.32 = trunc i64 %o.nd to i32
  %made = call ptr %h.new_array(
    ptr %h.ndarray, ptr %o.descr, i32 %o.nd.32, ptr %o.shape, ptr %o.strides, ptr null, i32 0, ptr null
  )
  %made.not = icmp eq ptr %made, null
  br i1 %made.not, label %failed, label %output.kept
output.kept:
  %out.at = getelementptr ptr, ptr %outs, i64 %j
  store ptr %made, ptr %out.at
  %made.data.at = getelementptr i8, ptr %made, i64 16
  %made.data = load ptr, ptr %made.data.at
  store ptr %made.data, ptr %obase.at
  br label %output.made
output.made:
  br label %output.next
refuse.made:
  call void @cr_drop(ptr %outs, i64 %h.outputs)
  call void @cr_drop(ptr %targets, i64 %h.outputs)
  br label %refuse
failed:
  call void @cr_drop(ptr %outs, i64 %h.outputs)
  call void @cr_drop(ptr %targets, i64 %h.outputs)
  ret ptr null

arena:
  %busy = load i64, ptr %h.arena
  %own = icmp ne i64 %busy, 0
  br i1 %own, label %arena.new, label %arena.shared
arena.new:
  %bytes = add i64 %h.arena_bytes, 64
  %block = call ptr @malloc(i64 %bytes)
  %block.not = icmp eq ptr %block, null
  br i1 %block.not, label %no.memory, label %arena.own
no.memory:
  call void @cr_drop(ptr %outs, i64 %h.outputs)
  call void @cr_drop(ptr %targets, i64 %h.outputs)
  %no = call ptr @PyErr_NoMemory()
  ret ptr null
arena.own:
  %block.end = getelementptr i8, ptr %block, i64 63
  %block.aligned = call ptr @llvm.ptrmask.p0.i64(ptr %block.end, i64 -64)
  store ptr %block.aligned, ptr %bases
  br label %run
arena.shared:
  store i64 1, ptr %h.arena
  %block.at = getelementptr i64, ptr %h.arena, i64 1
  %block.shared = load ptr, ptr %block.at
  store ptr %block.shared, ptr %bases
  br label %run
run:
  %block.own = phi ptr [%block, %arena.own], [null, %arena.shared]
  %long = icmp ne i64 %h.release, 0
  br i1 %long, label %run.released, label %run.held
run.held:
  %answer.held = call i64 @cr_run(ptr %h.first, ptr %h.end, ptr %bases, ptr %params, ptr %h.pool, i64 0)
  br label %ran
run.released:
  br label %hold.next
hold.next:
  %q = phi i64 [0, %run.released], [%q.next, %hold]
  %q.over = icmp eq i64 %q, %h.inputs
  br i1 %q.over, label %release, label %hold
hold:
  %hold.at = getelementptr ptr, ptr %held, i64 %q
  %hold.object = load ptr, ptr %hold.at
  call void @Py_IncRef(ptr %hold.object)
  %q.next = add i64 %q, 1
  br label %hold.next
release:
  %state = call ptr @PyEval_SaveThread()
  %answer.released = call i64 @cr_run(ptr %h.first, ptr %h.end, ptr %bases, ptr %params, ptr %h.pool, i64 %h.helpers)
  call void @PyEval_RestoreThread(ptr %state)
  br label %ran
ran:
  %answer = phi i64 [%answer.held, %run.held], [%answer.released, %release]
  br i1 %own, label %arena.free, label %arena.back
arena.free:
  call void @free(ptr %block.own)
  br label %after
arena.back:
  store i64 0, ptr %h.arena
  br label %after
after:
  br i1 %long, label %unhold, label %answered
unhold:
  call void @cr_drop(ptr %held, i64 %h.inputs)
  br label %answered
answered:
  %done = icmp eq i64 %answer, 0
  br i1 %done, label %results, label %guarded
guarded:
  call void @cr_drop(ptr %outs, i64 %h.outputs)
  call void @cr_drop(ptr %targets, i64 %h.outputs)
  %number = call ptr @PyLong_FromLongLong(i64 %answer)
  ret ptr %number

results:
  %is.single = icmp ne i64 %h.single, 0
  br i1 %is.single, label %result.start, label %tuple
tuple:
  %tuple.new = call ptr @PyTuple_New(i64 %h.outputs)
  %tuple.not = icmp eq ptr %tuple.new, null
  br i1 %tuple.not, label %failed, label %result.start
result.start:
  %tuple.made = phi ptr [null, %results], [%tuple.new, %tuple]
  br label %result.next
result.next:
  %r = phi i64 [0, %result.start], [%r.next, %result.put]
  %r.over = icmp eq i64 %r, %h.outputs
  br i1 %r.over, label %returned, label %result
result:
  %rspec.offset = mul i64 %r, <OUTPUT_WORDS>
  %rspec = getelementptr i64, ptr %h.output_specs, i64 %rspec.offset
<RESULT>
  %r.next = add i64 %r, 1
  %out.at.r = getelementptr ptr, ptr %outs, i64 %r
  %r.result = icmp eq ptr %r.target, null
  br i1 %r.result, label %result.own, label %result.none
result.none:
  call void @Py_IncRef(ptr %h.none)
  br label %result.ready
result.own:
  %r.direct = icmp eq i64 %r.nd, 0
  br i1 %r.direct, label %result.scalar, label %result.array
result.scalar:
  %rdirect.offset = mul i64 %r, <DIRECT>
  %rdirect.at = getelementptr i8, ptr %direct, i64 %rdirect.offset
  %scalar.new = call ptr %h.new_scalar(ptr %rdirect.at, ptr %r.descr, ptr null)
  br label %result.value
result.array:
  %array.out = load ptr, ptr %out.at.r
  store ptr null, ptr %out.at.r
  br label %result.value
result.value:
  %value = phi ptr [%scalar.new, %result.scalar], [%array.out, %result.array]
  %value.not = icmp eq ptr %value, null
  br i1 %value.not, label %undo, label %result.wrap
result.wrap:
  %plain = icmp eq ptr %h.tensor, null
  br i1 %plain, label %result.ready, label %wrap
wrap:
  %tensor.new = call ptr %h.object_new(ptr %h.tensor, ptr %h.empty, ptr null)
  %tensor.not = icmp eq ptr %tensor.new, null
  br i1 %tensor.not, label %undo.value, label %fill
fill:
  %new.data = getelementptr i8, ptr %tensor.new, i64 <DATA>
  store ptr %value, ptr %new.data
  call void @Py_IncRef(ptr %h.none)
  call void @Py_IncRef(ptr %h.none)
  call void @Py_IncRef(ptr %h.none)
  call void @Py_IncRef(ptr %h.none)
  %new.node = getelementptr i8, ptr %tensor.new, i64 <NODE>
  store ptr %h.none, ptr %new.node
  %new.ver = getelementptr i8, ptr %tensor.new, i64 <VER>
  store ptr %h.none, ptr %new.ver
  %new.view = getelementptr i8, ptr %tensor.new, i64 <VIEW>
  store ptr %h.none, ptr %new.view
  %new.meta = getelementptr i8, ptr %tensor.new, i64 <META>
  store ptr %h.none, ptr %new.meta
  br label %result.ready
result.ready:
  %ready = phi ptr [%value, %result.wrap], [%tensor.new, %fill], [%h.none, %result.none]
  br i1 %is.single, label %returned.single, label %put
returned.single:
  ret ptr %ready
put:
  %put.status = call i32 @PyTuple_SetItem(ptr %tuple.made, i64 %r, ptr %ready)
  br label %result.put
result.put:
  br label %result.next
undo.value:
  call void @Py_DecRef(ptr %value)
  br label %undo
undo:
  call void @Py_DecRef(ptr %tuple.made)
  call void @cr_drop(ptr %outs, i64 %h.outputs)
  call void @cr_drop(ptr %targets, i64 %h.outputs)
  ret ptr null
returned:
  br label %write.next
write.next:
  %w = phi i64 [0, %returned], [%w.next, %written]
  %w.over = icmp eq i64 %w, %h.outputs
  br i1 %w.over, label %end, label %write
write: ; what is left in `outs` are values that tensors take
  %w.next = add i64 %w, 1
  %to.at = getelementptr ptr, ptr %targets, i64 %w
  %to = load ptr, ptr %to.at
  %to.none = icmp eq ptr %to, null
  br i1 %to.none, label %written, label %copy
copy:
  %wspec.offset = mul i64 %w, <OUTPUT_WORDS>
  %wspec = getelementptr i64, ptr %h.output_specs, i64 %wspec.offset
<WRITTEN>
  %from.at = getelementptr ptr, ptr %bases, i64 %w.slot
  %from = load ptr, ptr %from.at
  %to.data.at = getelementptr i8, ptr %to, i64 16
  %to.data = load ptr, ptr %to.data.at
  call void @llvm.memcpy.p0.p0.i64(ptr %to.data, ptr %from, i64 %w.bytes, i1 false)
  br label %written
written:
  br label %write.next
end:
  call void @cr_drop(ptr %outs, i64 %h.outputs)
  call void @cr_drop(ptr %targets, i64 %h.outputs)
  ret ptr %tuple.made
}
