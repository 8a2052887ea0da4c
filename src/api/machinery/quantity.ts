/** An exact amount, in billionths. The format decides how it is written, never how it compares. */
export interface Quantity {
  readonly nano: bigint;
  readonly format: 'decimal' | 'binary' | 'exponent';
}

/** Parses `100m`, `1.5Gi`, `2e3`, …; finer than a billionth is rounded away from zero. Undefined when it is no quantity. */
export function parseQuantity(text: string): Quantity | undefined {
  const known = quantities.get(text);
  if (known !== undefined) return known;
  const parsed = scan(text);
  if (typeof parsed === 'string') return undefined;
  remember(quantities, text, parsed.quantity);
  return parsed.quantity;
}

/** What upstream says of a text that is no quantity; undefined when it is one. */
export function quantityError(text: string): string | undefined {
  if (quantities.has(text)) return undefined;
  const parsed = scan(text);
  return typeof parsed === 'string' ? parsed : undefined;
}

/** How Go writes the quantity back: `0.5` → `500m`, `1024Ki` → `1Mi`. Undefined when it is no quantity. */
export function canonicalQuantity(text: string): string | undefined {
  const known = canonicalTexts.get(text);
  if (known !== undefined) return known;
  const parsed = scan(text);
  if (typeof parsed === 'string') return undefined;
  const canonical = parsed.kept ? text : formatQuantity(parsed.quantity);
  remember(canonicalTexts, text, canonical);
  return canonical;
}

/** A canonical text, rounded away from zero to thousandths. */
export function roundedToMilli(text: string): string {
  // Only what is finer ends so.
  if (!/[nu]$|e-/.test(text)) return text;
  const parsed = parseQuantity(text);
  if (!parsed || parsed.nano % milli === 0n) return text;
  const { nano, format } = parsed;
  return formatQuantity({ nano: (nano / milli + (nano < 0n ? -1n : 1n)) * milli, format });
}

const milli = 1_000_000n;

export function formatQuantity({ nano, format }: Quantity): string {
  if (nano === 0n) return '0';
  if (format === 'binary') {
    const text = formatBinary(nano);
    if (text !== undefined) return text;
  }
  let [number, exponent] = [nano, -9];
  const exponentMax = format === 'exponent' ? Number.POSITIVE_INFINITY : 18;
  while (exponent < exponentMax && number % 1000n === 0n) {
    number /= 1000n;
    exponent += 3;
  }
  if (format === 'exponent') return exponent === 0 ? `${number}` : `${number}e${exponent}`;
  return `${number}${decimalSuffixes[exponent / 3 + 3]}`;
}

export function compareQuantities(a: Quantity, b: Quantity): -1 | 0 | 1 {
  return a.nano < b.nano ? -1 : a.nano > b.nano ? 1 : 0;
}

/** The format is the first one's, unless that is zero. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano - b.nano, format: a.nano === 0n ? b.format : a.format };
}

export const zeroQuantity: Quantity = { nano: 0n, format: 'decimal' };

/** A whole number of units, written in decimal unless said otherwise. */
export function quantityOf(value: number | bigint, format: Quantity['format'] = 'decimal'): Quantity {
  return { nano: BigInt(value) * unit, format };
}

/** Thousandths, rounded away from zero: CPU. Anything that is no quantity counts as 0. */
export function milliValue(text: string | undefined): number {
  if (text === undefined) return 0;
  const known = milliValues.get(text);
  if (known !== undefined) return known;
  const value = scaled(text, 1_000_000n);
  remember(milliValues, text, value);
  return value;
}

/** Whole units, rounded away from zero: bytes, pods. Anything that is no quantity counts as 0. */
export function wholeValue(text: string | undefined): number {
  if (text === undefined) return 0;
  const known = wholeValues.get(text);
  if (known !== undefined) return known;
  const value = scaled(text, unit);
  remember(wholeValues, text, value);
  return value;
}

const unit = 1_000_000_000n;

/** Different texts of quantities that are remembered; a cluster has few, and an attacker's are forgotten all at once. */
const rememberedTextsMax = 4_096;
const quantities = new Map<string, Quantity>();
const canonicalTexts = new Map<string, string>();
const milliValues = new Map<string, number>();
const wholeValues = new Map<string, number>();

function remember<Value>(cache: Map<string, Value>, text: string, value: Value): void {
  if (text.length > 32) return;
  if (cache.size >= rememberedTextsMax) cache.clear();
  cache.set(text, value);
}

function scaled(text: string, divisor: bigint): number {
  const quantity = parseQuantity(text);
  return quantity === undefined ? 0 : Number(dividedUp(quantity.nano, divisor));
}

const decimalSuffixes = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E'];
const binarySuffixes = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

const wrongFormat = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const wrongSuffix = "unable to parse quantity's suffix";

/** Decimal exponents beyond it would cost memory; no resource has that many. */
const exponentMax = 1_000;

/** Upstream caps binary quantities here. */
const binaryNanoMax = (2n ** 63n - 1n) * unit;

/** The quantity and whether Go keeps the text as it is, or what is wrong. */
function scan(text: string): { quantity: Quantity; kept: boolean } | string {
  const match = /^([+-]?)0*([0-9]*)(\.[0-9]*)?([eEinumkKMGTP]*[-+]?[0-9]*)$/.exec(text);
  if (text === '' || !match) return wrongFormat;
  const [, sign = '', whole = '', point = '', suffix = ''] = match;
  const decimals = point.slice(1);
  const { format, exponent } = interpret(suffix) ?? {};
  if (format === undefined || exponent === undefined || exponent > exponentMax) return wrongSuffix;
  if (whole.length + decimals.length > exponentMax) return 'unable to parse numeric part of quantity';
  const digits = BigInt(whole + decimals || '0');
  const nano =
    format === 'binary'
      ? scaledUp(digits << BigInt(exponent), 9 - decimals.length)
      : scaledUp(digits, Math.max(exponent, -exponentMax) + 9 - decimals.length);
  const capped = format === 'binary' && nano > binaryNanoMax ? binaryNanoMax : nano;
  // Below one, upstream writes binary quantities as decimal ones.
  const small = format === 'binary' && capped > 0n && capped < unit;
  const quantity = { nano: sign === '-' ? -capped : capped, format: small ? 'decimal' : format } as const;
  return { quantity, kept: isKept(whole || '0', decimals, format, exponent) };
}

/** Go keeps some texts although they are not canonical; its answers show them. */
function isKept(whole: string, decimals: string, format: Quantity['format'], exponent: number): boolean {
  if (format === 'binary') {
    if (decimals !== '' || 15 - whole.length - Math.trunc((exponent * 3) / 10) - 1 < 0) return false;
    return exponent % 10 === 0 && (Number(BigInt.asUintN(3, BigInt(whole))) & 7) !== 0;
  }
  const digits = whole + decimals;
  const scale = exponent - decimals.length;
  if (digits.length > 18 || scale < -9) return false;
  return digits === '0' ? false : scale % 3 === 0 && !digits.endsWith('000') && !digits.startsWith('0');
}

function interpret(suffix: string): { format: Quantity['format']; exponent: number } | undefined {
  const decimal = decimalSuffixes.indexOf(suffix);
  if (decimal >= 0) return { format: 'decimal', exponent: (decimal - 3) * 3 };
  const binary = binarySuffixes.indexOf(suffix);
  if (binary > 0) return { format: 'binary', exponent: binary * 10 };
  if (!/^[eE][-+]?[0-9]{1,18}$/.test(suffix)) return undefined;
  return { format: 'exponent', exponent: Number(suffix.slice(1)) };
}

function scaledUp(value: bigint, exponent: number): bigint {
  return exponent >= 0 ? value * 10n ** BigInt(exponent) : dividedUp(value, 10n ** BigInt(-exponent));
}

/** Rounds away from zero. */
function dividedUp(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor;
  if (quotient * divisor === value) return quotient;
  return value < 0n ? quotient - 1n : quotient + 1n;
}

/** Undefined where a binary form would be inexact or confusing: fractions and what is below 1024. */
function formatBinary(nano: bigint): string | undefined {
  if (nano % unit !== 0n) return undefined;
  let number = nano / unit;
  if (number > -1024n && number < 1024n) return undefined;
  let power = 0;
  while (power < 6 && number % 1024n === 0n) {
    number /= 1024n;
    power++;
  }
  return `${number}${binarySuffixes[power]}`;
}
