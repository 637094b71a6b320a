"""Arguments of sin, cos and tan too great for Cody & Waite's reduction.

Payne & Hanek (SIGNUM Newsletter 18, 1983; Muller, Elementary Functions, 3rd ed., section 11.4): with x = M·2^e, the bits of 2/π
above 2^(2 - e) give multiples of 4 quarter turns, so x·2/π modulo 4 is M times the 192 bits below them, modulo 2^192. No double
is nearer to a multiple of π/2 than 2^-62, so that 64 of the fraction's 126 highest bits are never lost.
"""

from __future__ import annotations

from typing import Any

from chainrule.compiler.llvm.math.body import Body, Value
from chainrule.compiler.llvm.math.coefficients import TWO_OVER_PI_BITS

PLACES = 1168  # of the table, after the point: enough for the largest double's exponent, 971: 971 + 190 and some
NONE = 22  # bytes of zeros above it, read where the exponent is small

# One lane at a time, in double: it is rare.
_TEXT = """\
@NAME.bits = internal unnamed_addr constant [SIZE x i8] c"DIGITS", align 8
define internal {VF, VF, VI} @NAME.huge(VF %x) cold noinline optnone nounwind willreturn memory(none) {
entry:
  br label %lane
lane:
  %i = phi i64 [ 0, %entry ], [ %next, %lane ]
  %a1 = phi VF [ zeroinitializer, %entry ], [ %b1, %lane ]
  %a2 = phi VF [ zeroinitializer, %entry ], [ %b2, %lane ]
  %a3 = phi VI [ zeroinitializer, %entry ], [ %b3, %lane ]
  EXTRACT
  %bits = bitcast double %d to i64
  %e = lshr i64 %bits, 52
  %e.low = call i64 @llvm.umax.i64(i64 %e, i64 1011)
  %low = and i64 %bits, 4503599627370495
  %M = or i64 %low, 4503599627370496
  %o = sub i64 OFFSET, %e.low
  %byte = lshr i64 %o, 3
  %shift = and i64 %o, 7
  %p0 = getelementptr i8, ptr @NAME.bits, i64 %byte
  %p1 = getelementptr i8, ptr %p0, i64 8
  %p2 = getelementptr i8, ptr %p0, i64 16
  %p3 = getelementptr i8, ptr %p0, i64 24
  %w0 = load i64, ptr %p0, align 1
  %w1 = load i64, ptr %p1, align 1
  %w2 = load i64, ptr %p2, align 1
  %w3 = load i64, ptr %p3, align 1
  %u0 = call i64 @llvm.fshr.i64(i64 %w1, i64 %w0, i64 %shift)
  %u1 = call i64 @llvm.fshr.i64(i64 %w2, i64 %w1, i64 %shift)
  %u2 = call i64 @llvm.fshr.i64(i64 %w3, i64 %w2, i64 %shift)
  %M.wide = zext i64 %M to i128
  %u0.wide = zext i64 %u0 to i128
  %u1.wide = zext i64 %u1 to i128
  %m0 = mul i128 %M.wide, %u0.wide
  %m1 = mul i128 %M.wide, %u1.wide
  %c0 = lshr i128 %m0, 64
  %t1 = add i128 %m1, %c0
  %mid = trunc i128 %t1 to i64
  %c1 = lshr i128 %t1, 64
  %c1.low = trunc i128 %c1 to i64
  %m2 = mul i64 %M, %u2
  %top = add i64 %m2, %c1.low
  %top.up = add i64 %top, 2305843009213693952
  %q = lshr i64 %top.up, 62
  %h = call i64 @llvm.fshl.i64(i64 %top, i64 %mid, i64 2)
  %l = shl i64 %mid, 2
  %h1 = and i64 %h, -1048576
  %h2 = and i64 %h, 1048575
  %h2.up = shl i64 %h2, 32
  %l1 = lshr i64 %l, 32
  %h2.l1 = or i64 %h2.up, %l1
  %l2 = and i64 %l, 4294967295
  %f1 = sitofp i64 %h1 to double
  %f2 = sitofp i64 %h2.l1 to double
  %f3 = sitofp i64 %l2 to double
  %g1 = fmul double %f1, 0x3BF0000000000000
  %g2 = fmul double %f2, 0x39F0000000000000
  %g3 = fmul double %f3, 0x37F0000000000000
  %s1 = fadd double %g1, %g2
  %s2 = fsub double %g1, %s1
  %s3 = fadd double %s2, %g2
  %s4 = fadd double %s3, %g3
  %r1 = fadd double %s1, %s4
  %r2 = fsub double %s1, %r1
  %r3 = fadd double %r2, %s4
  %y1 = fmul double %r1, 0x3FF921FB54442D18
  %y1.neg = fneg double %y1
  %y2 = call double @llvm.fma.f64(double %r1, double 0x3FF921FB54442D18, double %y1.neg)
  %y3 = call double @llvm.fma.f64(double %r1, double 0x3C91A62633145C07, double %y2)
  %y4 = call double @llvm.fma.f64(double %r3, double 0x3FF921FB54442D18, double %y3)
  %z1 = fadd double %y1, %y4
  %z2 = fsub double %y1, %z1
  %z3 = fadd double %z2, %y4
  %special = icmp eq i64 %e, 2047
  %j1 = select i1 %special, double 0x7FF8000000000000, double %z1
  NARROW
  INSERT
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, LANES
  br i1 %more, label %lane, label %done
done:
  %o1 = insertvalue {VF, VF, VI} poison, VF %b1, 0
  %o2 = insertvalue {VF, VF, VI} %o1, VF %b2, 1
  %o3 = insertvalue {VF, VF, VI} %o2, VI %b3, 2
  ret {VF, VF, VI} %o3
}
"""
_NARROW = {
    "float32": """\
%n1 = fptrunc double %j1 to float
  %n1.wide = fpext float %n1 to double
  %n1.lost = fsub double %j1, %n1.wide
  %n2.wide = fadd double %n1.lost, %z3
  %n2 = fptrunc double %n2.wide to float
  %n3 = trunc i64 %q to i32""",
    "float64": """\
%n1 = fadd double %j1, 0.0
  %n2 = fadd double %z3, 0.0
  %n3 = add i64 %q, 0""",
}


def _helper(b: Body) -> str:
    """Return the text of the function that reduces all lanes."""
    digits = TWO_OVER_PI_BITS.to_bytes(PLACES // 8 + NONE, "little")
    f, i = b.types["f"], b.types["i"]
    lane = "%x" if b.lanes == 1 else "%x.lane"
    extract = [] if b.lanes == 1 else [f"{lane} = extractelement {f} %x, i64 %i"]
    extract.append(f"%d = fpext float {lane} to double" if b.single else f"%d = fadd double {lane}, 0.0")
    insert = []
    for k, kind in enumerate("ffi", 1):
        t, of_lane = b.types[kind], f"{b.scalars[kind]} %n{k}"
        picked = f"select i1 true, {of_lane}, {of_lane}" if b.lanes == 1 else f"insertelement {t} %a{k}, {of_lane}, i64 %i"
        insert.append(f"%b{k} = {picked}")
    fields = {
        "DIGITS": "".join([f"\\{x:02X}" for x in digits]), "SIZE": len(digits), "OFFSET": PLACES - 190 + 1075, "LANES": b.lanes,
        "EXTRACT": "\n  ".join(extract), "NARROW": b.pick(_NARROW), "INSERT": "\n  ".join(insert), "@NAME": b.name,
        "VF": f, "VI": i,
    }  # fmt: skip
    text = _TEXT
    for key, value in fields.items():
        text = text.replace(key, str(value))
    return text


def huge_reduction(b: Body, x: Value, huge: Value, fast: tuple[Value | None, ...]) -> tuple[Any, ...]:
    """Return r, its small rest and n of x from 0 on: where it is huge by a call, made if any lane is; elsewhere as given."""
    b.helpers.append(_helper(b))
    f, i, t = b.types["f"], b.types["i"], b.types["b"]
    some = huge if b.lanes == 1 else b.line("b", f"call i1 @llvm.vector.reduce.or.v{b.lanes}i1({t} {huge.name})")
    b.lines += [f"  br i1 {some.name}, label %huge, label %reduced", "huge:"]
    whole = f"{{{f}, {f}, {i}}}"
    found = b.line("f", f"call {whole} {b.name}.huge({f} {x.name})")
    far: dict[int, Value] = {}
    for k, near in enumerate(fast):
        if near is not None:
            far[k] = b.select(huge, b.line(near.kind, f"extractvalue {whole} {found.name}, {k}"), near)
    b.lines += ["  br label %reduced", "reduced:"]
    ends = [near and f"[ {near.name}, %entry ], [ {far[k].name}, %huge ]" for k, near in enumerate(fast)]
    return tuple([near and b.line(near.kind, f"phi {b.types[near.kind]} {end}") for near, end in zip(fast, ends, strict=True)])
