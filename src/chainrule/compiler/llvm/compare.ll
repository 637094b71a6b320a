; Whether objects are as they were: see compare.py, which fills in what stands in angle brackets.
declare i32 @PyDict_Next(ptr, ptr, ptr, ptr) nounwind
declare ptr @PyDict_GetItemWithError(ptr, ptr) nounwind
declare ptr @PyObject_GetAttr(ptr, ptr) nounwind
declare void @PyErr_Clear() nounwind

; Whether a tensor's payload has a dtype, a shape and strides (`any.single`: those of single elements aside); without axes it may
; be a scalar
define internal i1 @cr_lies(ptr %tensor, ptr %row, ptr %ndarray, i1 %any.single) nounwind {
  %nd.wanted.at = getelementptr i64, ptr %row, i64 2
  %nd.wanted = load i64, ptr %nd.wanted.at
  %descr.wanted.at = getelementptr i64, ptr %row, i64 3
  %descr.wanted = load ptr, ptr %descr.wanted.at
  %sizes.at = getelementptr i64, ptr %row, i64 4
  %sizes = load ptr, ptr %sizes.at
  %scalar.at = getelementptr i64, ptr %row, i64 5
  %scalar = load ptr, ptr %scalar.at
  %data.at = getelementptr i8, ptr %tensor, i64 <DATA>
  %data = load ptr, ptr %data.at
  %set = icmp ne ptr %data, null
  br i1 %set, label %there, label %no
there:
  %type.at = getelementptr i8, ptr %data, i64 8
  %type = load ptr, ptr %type.at
  %is.array = icmp eq ptr %type, %ndarray
  br i1 %is.array, label %array, label %generic
generic:
  %is.scalar = icmp eq ptr %type, %scalar
  ret i1 %is.scalar
array:
  %nd.at = getelementptr i8, ptr %data, i64 24
  %nd.32 = load i32, ptr %nd.at
  %nd = sext i32 %nd.32 to i64
  %same.nd = icmp eq i64 %nd, %nd.wanted
  %descr.at = getelementptr i8, ptr %data, i64 56
  %descr = load ptr, ptr %descr.at
  %same.descr = icmp eq ptr %descr, %descr.wanted
  %same = and i1 %same.nd, %same.descr
  br i1 %same, label %axes, label %no
axes:
  %dims.at = getelementptr i8, ptr %data, i64 32
  %dims = load ptr, ptr %dims.at
  %steps.at = getelementptr i8, ptr %data, i64 40
  %steps = load ptr, ptr %steps.at
  %steps.wanted = getelementptr i64, ptr %sizes, i64 %nd
  br label %axis.next
axis.next:
  %k = phi i64 [0, %axes], [%k.next, %axis]
  %over = icmp eq i64 %k, %nd
  br i1 %over, label %yes, label %axis
axis:
  %dim.at = getelementptr i64, ptr %dims, i64 %k
  %dim = load i64, ptr %dim.at
  %dim.wanted.at = getelementptr i64, ptr %sizes, i64 %k
  %dim.wanted = load i64, ptr %dim.wanted.at
  %step.at = getelementptr i64, ptr %steps, i64 %k
  %step = load i64, ptr %step.at
  %step.wanted.at = getelementptr i64, ptr %steps.wanted, i64 %k
  %step.wanted = load i64, ptr %step.wanted.at
  %dim.same = icmp eq i64 %dim, %dim.wanted
  %step.same = icmp eq i64 %step, %step.wanted
  %dim.single = icmp sle i64 %dim, 1
  %step.any = and i1 %dim.single, %any.single
  %step.fine = or i1 %step.same, %step.any
  %fine = and i1 %dim.same, %step.fine
  %k.next = add i64 %k, 1
  br i1 %fine, label %axis.next, label %no
yes:
  ret i1 true
no:
  ret i1 false
}

define ptr @cr_same(ptr %self, ptr %args, i64 %count) nounwind {
start:
  %array.at = getelementptr i8, ptr %self, i64 <TABLE>
  %array = load ptr, ptr %array.at
  %table.at = getelementptr i8, ptr %array, i64 16
  %table = load ptr, ptr %table.at
<HEAD>
  %place = alloca i64
  %key.at = alloca ptr
  %value.at = alloca ptr
  %given = icmp eq i64 %count, %h.leaves
  br i1 %given, label %next, label %refuse
refuse:
  call void @Py_IncRef(ptr %h.refused)
  ret ptr %h.refused
differs:
  call void @Py_IncRef(ptr %h.false)
  ret ptr %h.false
unclear:
  call void @Py_IncRef(ptr %h.none)
  ret ptr %h.none
next:
  %row = phi ptr [%h.first, %start], [%row.next, %holds]
  %over = icmp eq ptr %row, %h.end
  br i1 %over, label %same, label %one
same:
  call void @Py_IncRef(ptr %h.true)
  ret ptr %h.true
one:
  %row.next = getelementptr i64, ptr %row, i64 <WORDS>
<ROW>
  %r.place = load i64, ptr %r.owner.at
  %arg.at = getelementptr ptr, ptr %args, i64 %r.place
  switch i64 %r.kind, label %differs [
    i64 <WORD>, label %word
    i64 <ITEMS>, label %items
    i64 <VALUES>, label %values
    i64 <KEYS>, label %keys
    i64 <LIES>, label %lies
    i64 <NO_GRADIENT>, label %gradient
    i64 <GRADIENT>, label %gradient
    i64 <CLASS>, label %class
    i64 <LEAF>, label %leaf
    i64 <IS>, label %is
    i64 <IS_NOT>, label %is.not
    i64 <SAME>, label %same.leaf
    i64 <DISTINCT>, label %distinct
    i64 <BASE>, label %base
    i64 <APART>, label %apart
  ]
holds:
  br label %next

word: ; of an object, at an offset
  %word.at = getelementptr i8, ptr %r.owner, i64 %r.count
  %word.now = load ptr, ptr %word.at
  %word.same = icmp eq ptr %word.now, %r.expected
  br i1 %word.same, label %holds, label %differs

items: ; of a list
  %size.at = getelementptr i8, ptr %r.owner, i64 16
  %size = load i64, ptr %size.at
  %items.at = getelementptr i8, ptr %r.owner, i64 24
  %items.now = load ptr, ptr %items.at
  %size.same = icmp eq i64 %size, %r.count
  br i1 %size.same, label %item.next, label %differs
item.next:
  %i = phi i64 [0, %items], [%i.next, %item]
  %i.over = icmp eq i64 %i, %r.count
  br i1 %i.over, label %holds, label %item
item:
  %item.at = getelementptr ptr, ptr %items.now, i64 %i
  %item.now = load ptr, ptr %item.at
  %item.wanted.at = getelementptr ptr, ptr %r.expected, i64 %i
  %item.wanted = load ptr, ptr %item.wanted.at
  %item.same = icmp eq ptr %item.now, %item.wanted
  %i.next = add i64 %i, 1
  br i1 %item.same, label %item.next, label %differs

values: ; of a dict, all of them in order; then its keys
  %used.at = getelementptr i8, ptr %r.owner, i64 16
  %used = load i64, ptr %used.at
  %used.same = icmp eq i64 %used, %r.count
  store i64 0, ptr %place
  br i1 %used.same, label %value.next, label %differs
value.next:
  %v = phi i64 [0, %values], [%v.next, %value]
  %v.over = icmp eq i64 %v, %r.count
  br i1 %v.over, label %holds, label %value.find
value.find:
  %found = call i32 @PyDict_Next(ptr %r.owner, ptr %place, ptr %key.at, ptr %value.at)
  %found.not = icmp eq i32 %found, 0
  br i1 %found.not, label %differs, label %value
value:
  %value.now = load ptr, ptr %value.at
  %value.wanted.at = getelementptr ptr, ptr %r.expected, i64 %v
  %value.wanted = load ptr, ptr %value.wanted.at
  %name.now = load ptr, ptr %key.at
  %name.wanted.at = getelementptr ptr, ptr %value.wanted.at, i64 %r.count
  %name.wanted = load ptr, ptr %name.wanted.at
  %name.same = icmp eq ptr %name.now, %name.wanted
  %entry.same = icmp eq ptr %value.now, %value.wanted
  %value.same = and i1 %entry.same, %name.same
  %v.next = add i64 %v, 1
  br i1 %value.same, label %value.next, label %differs

keys: ; of a dict, some of them; then their values
  %keys.values = getelementptr ptr, ptr %r.expected, i64 %r.count
  br label %key.next
key.next:
  %k = phi i64 [0, %keys], [%k.next, %key]
  %k.over = icmp eq i64 %k, %r.count
  br i1 %k.over, label %holds, label %key
key:
  %key.wanted.at = getelementptr ptr, ptr %r.expected, i64 %k
  %key.wanted = load ptr, ptr %key.wanted.at
  %key.now = call ptr @PyDict_GetItemWithError(ptr %r.owner, ptr %key.wanted)
  %key.value.at = getelementptr ptr, ptr %keys.values, i64 %k
  %key.value = load ptr, ptr %key.value.at
  %key.same = icmp eq ptr %key.now, %key.value
  %k.next = add i64 %k, 1
  br i1 %key.same, label %key.next, label %key.differs
key.differs:
  call void @PyErr_Clear()
  br label %differs

lies: ; a tensor that does not require grad
  %node.at = getelementptr i8, ptr %r.owner, i64 <NODE>
  %node = load ptr, ptr %node.at
  %node.none = icmp eq ptr %node, %h.none
  %node.wanted = icmp ne i64 %r.more, 0
  %node.same = icmp eq i1 %node.none, %node.wanted
  %type.at = getelementptr i8, ptr %r.owner, i64 8
  %type = load ptr, ptr %type.at
  %type.same = icmp eq ptr %type, %r.class
  %lies.fine = and i1 %node.same, %type.same
  br i1 %lies.fine, label %lies.data, label %differs
lies.data:
  %lies.same = call i1 @cr_lies(ptr %r.owner, ptr %row, ptr %h.ndarray, i1 false)
  br i1 %lies.same, label %holds, label %differs

gradient: ; of a tensor: none, or one that lies as that did
  %grad.none = icmp eq i64 %r.kind, <NO_GRADIENT>
  %meta.at = getelementptr i8, ptr %r.owner, i64 <META>
  %meta = load ptr, ptr %meta.at
  %meta.set = icmp ne ptr %meta, null
  br i1 %meta.set, label %meta.look, label %differs
meta.look:
  %meta.type.at = getelementptr i8, ptr %meta, i64 8
  %meta.type = load ptr, ptr %meta.type.at
  %has.meta = icmp eq ptr %meta.type, %h.meta
  br i1 %has.meta, label %gradient.get, label %gradient.not
gradient.not:
  br i1 %grad.none, label %holds, label %differs
gradient.get:
  %grad = call ptr @PyObject_GetAttr(ptr %meta, ptr %h.grad)
  %grad.failed = icmp eq ptr %grad, null
  br i1 %grad.failed, label %key.differs, label %gradient.look
gradient.look:
  call void @Py_DecRef(ptr %grad) ; its tensor holds it
  %grad.absent = icmp eq ptr %grad, %h.none
  %grad.fine = and i1 %grad.absent, %grad.none
  br i1 %grad.fine, label %holds, label %gradient.there
gradient.there:
  %grad.type.at = getelementptr i8, ptr %grad, i64 8
  %grad.type = load ptr, ptr %grad.type.at
  %grad.tensor = icmp eq ptr %grad.type, %r.class
  %grad.asked = xor i1 %grad.none, true
  %grad.look = and i1 %grad.tensor, %grad.asked
  br i1 %grad.look, label %gradient.node, label %differs
gradient.node:
  %grad.node.at = getelementptr i8, ptr %grad, i64 <NODE>
  %grad.node = load ptr, ptr %grad.node.at
  %grad.plain = icmp eq ptr %grad.node, %h.none
  br i1 %grad.plain, label %gradient.data, label %differs
gradient.data:
  %grad.same = call i1 @cr_lies(ptr %grad, ptr %row, ptr %h.ndarray, i1 false)
  br i1 %grad.same, label %holds, label %differs

class: ; of a leaf
  %class.leaf = load ptr, ptr %arg.at
  %class.at = getelementptr i8, ptr %class.leaf, i64 8
  %class.now = load ptr, ptr %class.at
  %class.same = icmp eq ptr %class.now, %r.expected
  br i1 %class.same, label %holds, label %refuse
leaf: ; a tensor with its class, its node and where it lies
  %leaf.now = load ptr, ptr %arg.at
  %leaf.type.at = getelementptr i8, ptr %leaf.now, i64 8
  %leaf.type = load ptr, ptr %leaf.type.at
  %leaf.type.same = icmp eq ptr %leaf.type, %r.class
  br i1 %leaf.type.same, label %leaf.node, label %refuse
leaf.node:
  %leaf.node.at = getelementptr i8, ptr %leaf.now, i64 <NODE>
  %leaf.node.now = load ptr, ptr %leaf.node.at
  %leaf.node.wanted = getelementptr i8, ptr null, i64 %r.more
  %leaf.node.same = icmp eq ptr %leaf.node.now, %leaf.node.wanted
  %leaf.node.any = icmp eq i64 %r.more, 0
  %leaf.node.fine = or i1 %leaf.node.same, %leaf.node.any
  br i1 %leaf.node.fine, label %leaf.data, label %refuse
leaf.data:
  %leaf.same.data = call i1 @cr_lies(ptr %leaf.now, ptr %row, ptr %h.ndarray, i1 true)
  br i1 %leaf.same.data, label %holds, label %refuse
is: ; a leaf that is an object
  %is.leaf = load ptr, ptr %arg.at
  %is.same = icmp eq ptr %is.leaf, %r.expected
  br i1 %is.same, label %holds, label %refuse
is.not: ; a leaf that is none of some objects
  %other.leaf = load ptr, ptr %arg.at
  br label %other.next
other.next:
  %o = phi i64 [0, %is.not], [%o.next, %other]
  %o.over = icmp eq i64 %o, %r.count
  br i1 %o.over, label %holds, label %other
other:
  %other.at = getelementptr ptr, ptr %r.expected, i64 %o
  %other.now = load ptr, ptr %other.at
  %other.same = icmp eq ptr %other.leaf, %other.now
  %o.next = add i64 %o, 1
  br i1 %other.same, label %refuse, label %other.next
same.leaf: ; two leaves that are one
  %second.at = getelementptr ptr, ptr %args, i64 %r.count
  %first.leaf = load ptr, ptr %arg.at
  %second.leaf = load ptr, ptr %second.at
  %leaf.same = icmp eq ptr %first.leaf, %second.leaf
  br i1 %leaf.same, label %holds, label %refuse
distinct: ; a leaf that is none of those at some places
  %own.leaf = load ptr, ptr %arg.at
  br label %distinct.next
distinct.next:
  %d = phi i64 [0, %distinct], [%d.next, %distinct.one]
  %d.over = icmp eq i64 %d, %r.count
  br i1 %d.over, label %holds, label %distinct.one
distinct.one:
  %distinct.place.at = getelementptr i64, ptr %r.expected, i64 %d
  %distinct.place = load i64, ptr %distinct.place.at
  %distinct.at = getelementptr ptr, ptr %args, i64 %distinct.place
  %distinct.now = load ptr, ptr %distinct.at
  %distinct.same = icmp eq ptr %own.leaf, %distinct.now
  %d.next = add i64 %d, 1
  br i1 %distinct.same, label %refuse, label %distinct.next
base: ; a leaf whose array owns its memory, or is a scalar
  %base.leaf = load ptr, ptr %arg.at
  %base.data.at = getelementptr i8, ptr %base.leaf, i64 <DATA>
  %base.data = load ptr, ptr %base.data.at
  %base.set = icmp ne ptr %base.data, null
  br i1 %base.set, label %base.look, label %differs
base.look:
  %base.type.at = getelementptr i8, ptr %base.data, i64 8
  %base.type = load ptr, ptr %base.type.at
  %base.array = icmp eq ptr %base.type, %h.ndarray
  br i1 %base.array, label %base.own, label %holds
base.own:
  %base.of.at = getelementptr i8, ptr %base.data, i64 48
  %base.of = load ptr, ptr %base.of.at
  %base.none = icmp eq ptr %base.of, null
  br i1 %base.none, label %holds, label %unclear
apart: ; a leaf that has not the array of a tensor
  %apart.leaf = load ptr, ptr %arg.at
  %apart.at = getelementptr i8, ptr %apart.leaf, i64 <DATA>
  %apart.data = load ptr, ptr %apart.at
  %apart.other.at = getelementptr i8, ptr %r.expected, i64 <DATA>
  %apart.other = load ptr, ptr %apart.other.at
  %apart.same = icmp eq ptr %apart.data, %apart.other
  br i1 %apart.same, label %differs, label %holds
}
