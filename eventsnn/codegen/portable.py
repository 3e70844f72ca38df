"""exp, log, exprel, sin and cos as text, from operations that IEEE 754 rounds alike everywhere. Backends compile these texts.

Free names: F (np.float64 or np.float32), fma, mul, np. Branchless, no library calls, no conversions between floats and integers
beyond the reading of bits. exp saturates at its ends instead of giving 0 or infinity; log takes 0, infinity and normal numbers;
sin and cos take up to a million radians, in single precision a thousand.
"""

from __future__ import annotations

EXP64 = """
def exp(x):
    x = min(max(x, F(-708.0)), F(709.0))
    t = fma(x, F(1.4426950408889634), F(6755399441055744.0))
    n = t - F(6755399441055744.0)
    r = fma(n, F(-0.6931471803691238), x)
    r = fma(n, F(-1.9082149292705877e-10), r)
    p = F(1.6059043836821613e-10)
    p = fma(p, r, F(2.08767569878681e-09))
    p = fma(p, r, F(2.505210838544172e-08))
    p = fma(p, r, F(2.755731922398589e-07))
    p = fma(p, r, F(2.7557319223985893e-06))
    p = fma(p, r, F(2.48015873015873e-05))
    p = fma(p, r, F(0.0001984126984126984))
    p = fma(p, r, F(0.001388888888888889))
    p = fma(p, r, F(0.008333333333333333))
    p = fma(p, r, F(0.041666666666666664))
    p = fma(p, r, F(0.16666666666666666))
    p = fma(p, r, F(0.5))
    y = fma(mul(r, r), p, r) + F(1.0)
    bits = (F(t).view(np.int64) + np.int64(1023)) << np.int64(52)
    return mul(y, np.int64(bits).view(np.float64))
"""

EXP32 = """
def exp(x):
    x = min(max(x, F(-87.0)), F(88.0))
    t = fma(x, F(1.4426950408889634), F(12582912.0))
    n = t - F(12582912.0)
    r = fma(n, F(-0.693359375), x)
    r = fma(n, F(2.12194440e-4), r)
    p = F(1.9875691500e-4)
    p = fma(p, r, F(1.3981999507e-3))
    p = fma(p, r, F(8.3334519073e-3))
    p = fma(p, r, F(4.1665795894e-2))
    p = fma(p, r, F(1.6666665459e-1))
    p = fma(p, r, F(5.0000001201e-1))
    y = fma(mul(r, r), p, r) + F(1.0)
    bits = (F(t).view(np.int32) + np.int32(127)) << np.int32(23)
    return mul(y, np.int32(bits).view(np.float32))
"""

# log(x) = k ln 2 + log(1 + f), s = f/(2 + f): the reduction and the coefficients of fdlibm (Sun Microsystems, 1993) and of its
# single-precision form (FreeBSD).
LOG64 = """
def log(x):
    k = (F(x).view(np.int64) - np.int64(4604544271217802189)) >> np.int64(52)
    f = np.int64(F(x).view(np.int64) - (k << np.int64(52))).view(np.float64) - F(1.0)
    n = np.int64(k + np.int64(4843621399236968448)).view(np.float64) - F(6755399441055744.0)
    s = f / (F(2.0) + f)
    z = mul(s, s)
    r = fma(z, F(0.14798198605116586), F(0.15313837699209373))
    r = fma(z, r, F(0.1818357216161805))
    r = fma(z, r, F(0.22222198432149784))
    r = fma(z, r, F(0.2857142874366239))
    r = fma(z, r, F(0.3999999999940942))
    r = mul(z, fma(z, r, F(0.6666666666666735)))
    h = mul(F(0.5), mul(f, f))
    y = fma(n, F(1.9082149292705877e-10), mul(s, h + r))
    y = fma(n, F(0.6931471803691238), f - (h - y))
    y = x if x > F(1.7976931348623157e308) else y
    return y if x > F(0.0) else (F(-np.inf) if x == F(0.0) else F(np.nan))
"""

LOG32 = """
def log(x):
    k = (F(x).view(np.int32) - np.int32(1060439283)) >> np.int32(23)
    f = np.int32(F(x).view(np.int32) - (k << np.int32(23))).view(np.float32) - F(1.0)
    n = np.int32(k + np.int32(1262485504)).view(np.float32) - F(12582912.0)
    s = f / (F(2.0) + f)
    z = mul(s, s)
    r = fma(z, F(0.24279078841), F(0.28498786688))
    r = fma(z, r, F(0.40000972152))
    r = mul(z, fma(z, r, F(0.66666662693)))
    h = mul(F(0.5), mul(f, f))
    y = fma(n, F(9.0580006145e-06), mul(s, h + r))
    y = fma(n, F(0.69313812256), f - (h - y))
    y = x if x > F(3.4028234663852886e38) else y
    return y if x > F(0.0) else (F(-np.inf) if x == F(0.0) else F(np.nan))
"""

# (exp(x) - 1)/x; near 0 its series
EXPREL = """
def exprel(x):
    small = abs(x) < F(0.0625)
    y = F(2.48015873015873e-05)
    y = fma(x, y, F(0.0001984126984126984))
    y = fma(x, y, F(0.001388888888888889))
    y = fma(x, y, F(0.008333333333333333))
    y = fma(x, y, F(0.041666666666666664))
    y = fma(x, y, F(0.16666666666666666))
    y = fma(x, y, F(0.5))
    y = fma(x, y, F(1.0))
    safe = F(1.0) if small else x
    return y if small else (exp(safe) - F(1.0)) / safe
"""

# x = n pi/2 + r with |r| <= pi/4; which of the two polynomials, and its sign, follow from n. The polynomials are those of fdlibm
# and, in single precision, of Cephes (S. L. Moshier, 1989).
TURN64 = """
def {name}(x):
    t = fma(x, F(0.6366197723675814), F(6755399441055744.0))
    n = t - F(6755399441055744.0)
    r = fma(n, F(-1.5707963267948966), x)
    r = fma(n, F(-6.123233995736766e-17), r)
    z = mul(r, r)
    s = fma(z, F(1.58969099521155e-10), F(-2.5050760253406863e-08))
    s = fma(z, s, F(2.7557313707070068e-06))
    s = fma(z, s, F(-0.0001984126982985795))
    s = fma(z, s, F(0.00833333333332249))
    s = fma(z, s, F(-0.16666666666666632))
    s = fma(mul(z, r), s, r)
    c = fma(z, F(-1.1359647557788195e-11), F(2.087572321298175e-09))
    c = fma(z, c, F(-2.7557314351390663e-07))
    c = fma(z, c, F(2.480158728947673e-05))
    c = fma(z, c, F(-0.001388888888887411))
    c = fma(z, c, F(0.0416666666666666))
    h = mul(F(0.5), z)
    w = F(1.0) - h
    c = w + fma(mul(z, z), c, (F(1.0) - w) - h)
    q = F(t).view(np.int64) + np.int64({quarter})
    y = c if (q & np.int64(1)) != 0 else s
    return -y if (q & np.int64(2)) != 0 else y
"""

TURN32 = """
def {name}(x):
    t = fma(x, F(0.636619772), F(12582912.0))
    n = t - F(12582912.0)
    r = fma(n, F(-1.5707963705062866), x)
    r = fma(n, F(4.371138828673793e-08), r)
    z = mul(r, r)
    s = fma(z, F(-1.9515295891e-4), F(8.3321608736e-3))
    s = fma(z, s, F(-1.6666654611e-1))
    s = fma(mul(z, r), s, r)
    c = fma(z, F(2.443315711809948e-5), F(-1.388731625493765e-3))
    c = fma(z, c, F(4.166664568298827e-2))
    h = mul(F(0.5), z)
    w = F(1.0) - h
    c = w + fma(mul(z, z), c, (F(1.0) - w) - h)
    q = F(t).view(np.int32) + np.int32({quarter})
    y = c if (q & np.int32(1)) != 0 else s
    return -y if (q & np.int32(2)) != 0 else y
"""

EXP_SOURCE = {"float64": EXP64, "float32": EXP32}
LOG_SOURCE = {"float64": LOG64, "float32": LOG32}
EXPREL_SOURCE = {"float64": EXPREL, "float32": EXPREL}
SIN_SOURCE, COS_SOURCE = (
    {"float64": TURN64.format(name=name, quarter=quarter), "float32": TURN32.format(name=name, quarter=quarter)}
    for name, quarter in (("sin", 0), ("cos", 1))
)


def functions(step: str, precision: str) -> list[str]:
    """The texts of what a step calls, callees first."""
    relative = "exprel(" in step
    wanted = (
        (EXP_SOURCE, "exp(" in step or relative),
        (LOG_SOURCE, "log(" in step),
        (EXPREL_SOURCE, relative),
        (SIN_SOURCE, "sin(" in step),
        (COS_SOURCE, "cos(" in step),
    )
    return [text[precision] for text, used in wanted if used]
