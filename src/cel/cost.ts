import {
  authorizationCheckCost,
  listCreateCost,
  mapCreateCost,
  objectCreateCost,
  regexFactor,
  stringTraversalFactor,
} from './actual-cost.ts';
import type { Call, Comprehension, Expression } from './ast.ts';
import { qualifiedName } from './checker.ts';
import type { CostRange } from './contract.ts';
import type { DeclType } from './declarations.ts';
import { accumulatorName } from './macros.ts';
import { codePointCount } from './operations.ts';
import { type CelType, dynType, isOptional, sameType } from './types.ts';

/** Both ends are whole and stop at 2^64. */
export interface Range {
  readonly minimum: number;
  readonly maximum: number;
}

/** The worst an evaluation can cost; sizes of data are bounded by the declarations. Follows cel-go's checker/cost.go. */
export function estimateCost(expression: Expression, variables: ReadonlyMap<string, DeclType>): CostRange {
  return new Coster(variables).cost(expression);
}

const limit = 2 ** 64;
const zero = fixed(0);
const one = fixed(1);
const unknown: Range = { minimum: 0, maximum: limit };

function fixed(value: number): Range {
  return { minimum: value, maximum: value };
}

function saturated(value: number): number {
  return value >= limit || Number.isNaN(value) ? limit : value;
}

function plus(left: Range, right: Range): Range {
  return { minimum: saturated(left.minimum + right.minimum), maximum: saturated(left.maximum + right.maximum) };
}

function times(left: Range, right: Range): Range {
  return { minimum: product(left.minimum, right.minimum), maximum: product(left.maximum, right.maximum) };
}

function product(left: number, right: number): number {
  return left === 0 || right === 0 ? 0 : saturated(left * right);
}

function scaled(range: Range, factor: number): Range {
  return { minimum: scale(range.minimum, factor), maximum: scale(range.maximum, factor) };
}

function scale(value: number, factor: number): number {
  return value > 0 && factor > 0 && value > limit / factor ? limit : saturated(Math.ceil(value * factor));
}

function union(left: Range, right: Range): Range {
  return { minimum: Math.min(left.minimum, right.minimum), maximum: Math.max(left.maximum, right.maximum) };
}

function sum(costs: readonly Range[]): Range {
  return costs.reduce(plus, zero);
}

/** Of the keys and values, or elements, of what a node comes to. */
interface EntrySizes {
  readonly kind: 'list' | 'map';
  readonly key: Range;
  readonly value: Range;
}

interface LocalVariable {
  readonly path: Path;
  readonly size: Range | undefined;
  readonly entries: EntrySizes | undefined;
}

/** Where data comes from: a variable, then names of fields, `@items`, `@keys`, `@values`. Empty where it is computed. */
type Path = readonly string[];

/** An argument as the functions below look at it. */
interface Operand {
  readonly node: Expression | undefined;
  readonly type: CelType;
  readonly path: Path;
  readonly size: Range | undefined;
}

interface CallCost {
  readonly cost: Range;
  readonly size?: Range | undefined;
}

class Coster {
  readonly #variables: ReadonlyMap<string, DeclType>;
  readonly #root: DeclType | undefined;
  readonly #paths = new Map<Expression, Path>();
  readonly #sizes = new Map<Expression, Range>();
  readonly #entries = new Map<Expression, EntrySizes>();
  readonly #locals = new Map<string, LocalVariable[]>();

  constructor(variables: ReadonlyMap<string, DeclType>) {
    this.#variables = variables;
    this.#root = variables.get('self');
  }

  cost(node: Expression): Range {
    switch (node.kind) {
      case 'literal':
        return zero;
      case 'identifier':
        this.#paths.set(node, this.#locals.get(node.name)?.at(-1)?.path ?? [node.name]);
        return one;
      case 'select':
        return this.#select(node);
      case 'call':
        return this.#call(node);
      case 'list':
        return this.#list(node);
      case 'map':
        return this.#map(node);
      case 'object':
        return sum([...node.fields.map(({ value }) => this.cost(value)), fixed(objectCreateCost)]);
      case 'comprehension':
        return node.shape.kind === 'bind' ? this.#bind(node) : this.#loop(node);
    }
  }

  #select(node: Extract<Expression, { kind: 'select' }>): Range {
    if (node.reference !== undefined) {
      this.#paths.set(node, [qualifiedName(node) ?? '']);
      return one;
    }
    const operand = this.cost(node.operand);
    if (node.test) return operand;
    this.#paths.set(node, [...this.#path(node.operand), node.field]);
    const { kind } = typeOf(node.operand);
    return kind === 'map' || kind === 'struct' || kind === 'parameter' ? plus(operand, one) : operand;
  }

  #call(node: Call): Range {
    if (node.name === 'dyn') return this.#dyn(node);
    const argCosts = node.args.map(each => this.cost(each));
    const args = node.args.map(each => this.#operand(each));
    let cost = zero;
    let target: Operand | undefined;
    if (node.target !== undefined) {
      cost = this.cost(node.target);
      target = this.#operand(node.target);
    }
    let range: Range = { minimum: limit, maximum: 0 };
    let size: Range | undefined;
    for (const overload of node.overloads ?? []) {
      const call = this.#function(node, overload, target, args, argCosts);
      range = union(range, call.cost);
      if (call.size !== undefined) size = size === undefined ? call.size : union(size, call.size);
      if (overload === 'index_list' || overload === 'index_map') {
        const [container] = node.args as [Expression];
        size = this.#entrySizes(container)?.value;
        this.#paths.set(node, [...this.#path(container), overload === 'index_list' ? '@items' : '@values']);
      }
      size ??= this.#size(node);
    }
    if (size !== undefined) this.#sizes.set(node, size);
    return plus(cost, range);
  }

  #dyn(node: Call): Range {
    const [argument] = node.args as [Expression];
    const cost = plus(one, this.cost(argument));
    this.#copySizes(node, argument);
    return cost;
  }

  #list(node: Extract<Expression, { kind: 'list' }>): Range {
    let total = fixed(listCreateCost);
    let value: Range = { minimum: node.elements.length === 0 ? 0 : limit, maximum: 0 };
    for (const element of node.elements) {
      total = plus(total, this.cost(element.value));
      value = union(value, this.#size(element.value) ?? unknown);
    }
    this.#entries.set(node, { kind: 'list', key: one, value });
    return total;
  }

  #map(node: Extract<Expression, { kind: 'map' }>): Range {
    let total = fixed(mapCreateCost);
    const start = { minimum: node.entries.length === 0 ? 0 : limit, maximum: 0 };
    let key: Range = start;
    let value: Range = start;
    for (const entry of node.entries) {
      total = sum([total, this.cost(entry.key), this.cost(entry.value)]);
      key = union(key, this.#size(entry.key) ?? unknown);
      value = union(value, this.#size(entry.value) ?? unknown);
    }
    this.#entries.set(node, { kind: 'map', key, value });
    return total;
  }

  #loop(node: Comprehension): Range {
    const before = plus(this.cost(node.range), this.cost(node.initial));
    this.#push(node.accumulator, this.#bound(node.initial));
    this.#pushVariables(node);
    const condition = this.cost(node.condition);
    const step = this.cost(node.step);
    this.#pop(node.variable);
    if (node.variable2 !== undefined) this.#pop(node.variable2);
    const result = this.cost(node.result);
    this.#pop(node.accumulator);
    const count = this.#size(node.range) ?? unknown;
    if (node.initial.kind === 'literal') {
      const size = this.#size(node.initial);
      if (size !== undefined) this.#sizes.set(node, size);
    } else {
      this.#sizes.set(node, count);
      const entries = this.#entrySizes(node.step);
      if (entries !== undefined) this.#entries.set(node, entries);
    }
    return sum([before, result, times(count, plus(step, condition))]);
  }

  #pushVariables(node: Comprehension): void {
    const entries = this.#entrySizes(node.range);
    const kind = entries?.kind ?? typeOf(node.range).kind;
    const path = this.#path(node.range);
    const list = kind === 'list';
    const push = (name: string, part: string, size: Range | undefined) =>
      this.#push(name, { path: [...path, part], size, entries: undefined });
    if (node.variable2 !== undefined) {
      push(node.variable, list ? '@indices' : '@keys', entries?.key);
      push(node.variable2, list ? '@items' : '@values', entries?.value);
    } else push(node.variable, list ? '@items' : '@keys', list ? entries?.value : entries?.key);
  }

  #bind(node: Comprehension): Range {
    const before = plus(this.cost(node.range), this.cost(node.initial));
    this.#push(node.accumulator, this.#bound(node.initial));
    const result = this.cost(node.result);
    this.#pop(node.accumulator);
    this.#copySizes(node, node.result);
    return plus(before, result);
  }

  #bound(initial: Expression): LocalVariable {
    return { path: this.#path(initial), size: this.#size(initial), entries: this.#entrySizes(initial) };
  }

  #push(name: string, variable: LocalVariable): void {
    const stack = this.#locals.get(name);
    if (stack === undefined) this.#locals.set(name, [variable]);
    else stack.push(variable);
  }

  #pop(name: string): void {
    this.#locals.get(name)?.pop();
  }

  #path(node: Expression): Path {
    const local = node.kind === 'identifier' ? this.#locals.get(node.name)?.at(-1) : undefined;
    return local?.path ?? this.#paths.get(node) ?? [];
  }

  #operand(node: Expression): Operand {
    const path = this.#path(node);
    const hidden = path[0] === accumulatorName || path[0] === '__result__';
    return { node, type: typeOf(node), path: hidden ? [] : path, size: this.#size(node) };
  }

  #copySizes(to: Expression, from: Expression): void {
    const size = this.#size(from);
    if (size !== undefined) this.#sizes.set(to, size);
    const entries = this.#entrySizes(from);
    if (entries !== undefined) this.#entries.set(to, entries);
  }

  #size(node: Expression): Range | undefined {
    const known = this.#sizes.get(node) ?? literalSize(node);
    if (known !== undefined) return known;
    const declared = this.#declaredSize(this.#path(node));
    if (declared !== undefined) {
      this.#sizes.set(node, declared);
      return declared;
    }
    if (isScalar(typeOf(node))) return one;
    return node.kind === 'identifier' ? this.#locals.get(node.name)?.at(-1)?.size : undefined;
  }

  #entrySizes(node: Expression): EntrySizes | undefined {
    const known = this.#entries.get(node);
    if (known !== undefined) return known;
    return node.kind === 'identifier' ? this.#locals.get(node.name)?.at(-1)?.entries : undefined;
  }

  #declaredSize(path: Path): Range | undefined {
    const [variable, ...parts] = path;
    if (variable === undefined) return undefined;
    // For rules of definitions upstream cuts off the first part without looking: what is no variable is taken for `self`.
    let decl = this.#variables.get(variable) ?? this.#root;
    for (const part of parts) {
      if (decl === undefined) return undefined;
      if (part === '@items' || part === '@values') decl = decl.element;
      else if (part === '@keys') decl = decl.key;
      else decl = decl.fields?.get(part)?.type ?? (decl.element?.type.kind === 'any' ? decl.element : undefined);
    }
    return decl === undefined ? undefined : { minimum: 0, maximum: decl.elementsMax };
  }

  #function(
    node: Call,
    overload: string,
    target: Operand | undefined,
    args: readonly Operand[],
    argCosts: readonly Range[],
  ): CallCost {
    const arguments_ = sum(argCosts);
    const known = this.#extension(overload, target, args) ?? this.#library(node.name, overload, target, args);
    if (known !== undefined) return { cost: plus(known.cost, arguments_), size: known.size };
    const standard = this.#standard(node, overload, target, args, argCosts);
    if (standard !== undefined) return standard;
    return { cost: plus(one, arguments_) };
  }

  /** Functions whose costs cel-go's extensions bring with them. */
  #extension(overload: string, target: Operand | undefined, args: readonly Operand[]): CallCost | undefined {
    const [first, second] = args as [Operand, Operand];
    switch (overload) {
      case 'list_slice': {
        const start = wholeNumber(first, 0);
        const size = fixed(
          saturated(Math.max(0, wholeNumber(second, this.#sizeOf(target as Operand).maximum) - start)),
        );
        return allocating(1, size);
      }
      case 'list_flatten':
        return allocating(1, this.#sizeOf(target as Operand));
      case 'list_flatten_int':
        return allocating(wholeNumber(first, limit), this.#sizeOf(target as Operand));
      case 'lists_range':
        return allocating(1, fixed(wholeNumber(first, limit)));
      case 'list_reverse':
        return allocating(1, this.#sizeOf(target as Operand));
      case 'list_distinct': {
        const size = this.#sizeOf(target as Operand);
        return allocating(2, times(size, size));
      }
      case 'list_sets_contains_list':
      case 'list_sets_intersects_list':
        return { cost: plus(times(this.#sizeOf(first), this.#sizeOf(second)), one) };
      case 'list_sets_equivalent_list':
        return { cost: plus(scaled(times(this.#sizeOf(first), this.#sizeOf(second)), 2), one) };
    }
    const sorted = /^list_(.+)_(sort|sortByAssociatedKeys)$/.exec(overload);
    if (sorted === null) return undefined;
    const size = this.#sizeOf(sorted[2] === 'sort' ? (target as Operand) : first);
    const text = sorted[1] === 'string' || sorted[1] === 'bytes';
    return allocating(text ? 2 + stringTraversalFactor : 2, times(size, size));
  }

  /** Kubernetes' libraries. */
  #library(
    name: string,
    overload: string,
    target: Operand | undefined,
    args: readonly Operand[],
  ): CallCost | undefined {
    const [first, second] = args as [Operand | undefined, Operand | undefined];
    if (name === 'ip' && overload === 'cidr_ip') return { cost: one };
    if (nominal.has(name)) return { cost: one };
    switch (name) {
      case 'check':
        return { cost: fixed(authorizationCheckCost) };
      case 'fieldSelector':
      case 'labelSelector':
        return first && { cost: selectorCost(this.#sizeOf(first)) };
      case 'isSorted':
      case 'sum':
      case 'max':
      case 'min':
      case 'indexOf':
      case 'lastIndexOf':
        return target && { cost: this.#listTraversal(target) };
      case 'url':
      case 'jsonpatch.escapeKey':
        return first && this.#traversal(first);
      case 'lowerAscii':
      case 'upperAscii':
      case 'substring':
      case 'trim':
        return target && this.#traversal(target);
      case 'replace':
        return target && first && second && this.#replace(target, first, second);
      case 'split':
        return target && this.#split(target, second);
      case 'join':
        return target && this.#join(target, first);
      case 'find':
      case 'findAll':
        return (
          target &&
          first && { cost: this.#regex(target, first), size: { minimum: 0, maximum: this.#sizeOf(target).maximum } }
        );
      case 'cidr':
      case 'isIP':
      case 'isCIDR':
      case 'ip':
      case 'quantity':
      case 'isQuantity':
      case 'semver':
      case 'isSemver':
        return first && { cost: scaled(this.#sizeOf(first), stringTraversalFactor) };
      case 'ip.isCanonical':
        return first && { cost: scaled(this.#sizeOf(first), 2 * stringTraversalFactor) };
      case 'containsIP':
        return first && { cost: this.#contains(first, overload === 'cidr_contains_ip_string', zero) };
      case 'containsCIDR': {
        const masking = plus(scaled(addressSize, stringTraversalFactor), one);
        return first && { cost: this.#contains(first, overload === 'cidr_contains_cidr_string', masking) };
      }
      case 'validate':
        return (
          first && {
            cost: scaled(scaled(this.#sizeOf(first), stringTraversalFactor), formatRegexSizeMax * regexFactor),
          }
        );
      case '_==_':
        return first && second && objectEquality(first, second);
    }
    return undefined;
  }

  #traversal(operand: Operand): CallCost {
    const size = this.#sizeOf(operand);
    return { cost: scaled(size, stringTraversalFactor), size };
  }

  #listTraversal(target: Operand): Range {
    const element = target.type.parameters[0];
    if (element === undefined) return scaled(this.#sizeOf(target), stringTraversalFactor);
    let cost = one;
    if (element.kind === 'string' || element.kind === 'bytes') {
      cost = plus(cost, scaled(this.#elementSize(target), stringTraversalFactor));
    }
    return times(this.#sizeOf(target), cost);
  }

  #elementSize(list: Operand): Range {
    const declared = list.path.length === 0 ? undefined : this.#declaredSize([...list.path, '@items']);
    return declared ?? unknown;
  }

  #replace(target: Operand, from: Operand, to: Operand): CallCost {
    const size = this.#sizeOf(target);
    const replaced = this.#sizeOf(from);
    const replacement = this.#sizeOf(to);
    let [countMax, keptMax] = [0, 0];
    if (replaced.minimum === 0) {
      countMax = saturated(size.maximum + 1);
      keptMax = size.maximum;
    } else if (replacement.maximum <= replaced.minimum) keptMax = size.maximum;
    else countMax = Math.ceil(size.maximum / replaced.minimum);
    let countMin = 0;
    if (replaced.maximum === 0) countMin = saturated(size.minimum + 1);
    else if (replaced.maximum > replacement.minimum) countMin = Math.ceil(size.minimum / replaced.maximum);
    const keptMin = replaced.maximum === 0 || replaced.maximum <= replacement.minimum ? size.minimum : 0;
    const count = { minimum: countMin, maximum: countMax };
    return {
      cost: scaled(size, 2 * stringTraversalFactor),
      size: plus(times(count, replacement), { minimum: keptMin, maximum: keptMax }),
    };
  }

  #split(target: Operand, count: Operand | undefined): CallCost {
    const size = this.#sizeOf(target);
    const wanted = count?.node?.kind === 'literal' ? count.node.value : undefined;
    const most = typeof wanted === 'number' ? (wanted < 0 ? limit : wanted) : size.maximum;
    return { cost: scaled(size, 2 * stringTraversalFactor), size: { minimum: 0, maximum: most } };
  }

  #join(target: Operand, separator: Operand | undefined): CallCost {
    const list = this.#sizeOf(target);
    let size = target.type.parameters.length > 0 ? times(list, this.#elementSize(target)) : zero;
    if (separator !== undefined) {
      const between = { minimum: Math.max(0, list.minimum - 1), maximum: Math.max(0, list.maximum - 1) };
      size = plus(size, times(this.#sizeOf(separator), between));
    }
    return { cost: scaled(size, stringTraversalFactor), size };
  }

  #regex(text: Operand, pattern: Operand): Range {
    const traversal = scaled(plus(this.#sizeOf(text), one), stringTraversalFactor);
    return times(traversal, scaled(this.#sizeOf(pattern), regexFactor));
  }

  #contains(other: Operand, parsed: boolean, more: Range): Range {
    const compared = plus(scaled(plus(addressSize, addressSize), stringTraversalFactor), more);
    return parsed ? plus(compared, scaled(this.#sizeOf(other), stringTraversalFactor)) : compared;
  }

  /** The functions of the language that do not take the same time for all. */
  #standard(
    node: Call,
    overload: string,
    target: Operand | undefined,
    args: readonly Operand[],
    argCosts: readonly Range[],
  ): CallCost | undefined {
    const arguments_ = sum(argCosts);
    const sizes = args.map(({ size }) => size ?? unknown);
    const [first, second] = sizes as [Range, Range];
    const more = (cost: Range) => plus(cost, arguments_);
    switch (overload) {
      case 'string_format':
        return target && { cost: more(scaled(target.size ?? unknown, stringTraversalFactor)) };
      case 'string_to_bytes': {
        const size = { minimum: first.minimum, maximum: saturated(first.maximum * 4) };
        return { cost: more(scaled(first, stringTraversalFactor)), size };
      }
      case 'bytes_to_string': {
        const size = { minimum: Math.floor(first.minimum / 4), maximum: first.maximum };
        return { cost: more(scaled(first, stringTraversalFactor)), size };
      }
      case 'strings_quote': {
        const size = { minimum: first.minimum + 2, maximum: saturated(first.maximum * 2 + 2) };
        return { cost: more(scaled(first, stringTraversalFactor)), size };
      }
      case 'starts_with_string':
      case 'ends_with_string':
        return { cost: more(scaled(first, stringTraversalFactor)) };
      case 'in_list':
        return { cost: more(second) };
      case 'matches_string':
        return (
          target && {
            cost: more(
              this.#regex({ ...target, size: target.size ?? unknown }, { ...(args[0] as Operand), size: first }),
            ),
          }
        );
      case 'contains_string': {
        const text = scaled(target?.size ?? unknown, stringTraversalFactor);
        return target && { cost: more(times(text, scaled(first, stringTraversalFactor))) };
      }
      case 'logical_or':
      case 'logical_and': {
        const [left, right] = argCosts as [Range, Range];
        return { cost: { minimum: left.minimum, maximum: plus(left, right).maximum } };
      }
      case 'conditional':
        return this.#conditional(node, sizes, argCosts);
      case 'add_string':
      case 'add_bytes':
      case 'add_list': {
        const size = plus(first, second);
        this.#addEntries(node);
        const cost = overload === 'add_list' ? one : scaled(size, stringTraversalFactor);
        return { cost: more(cost), size };
      }
    }
    if (!compared.has(overload)) return undefined;
    const smaller = Math.min(first.maximum, second.maximum);
    const range = { minimum: smaller > 0 ? 1 : 0, maximum: smaller };
    return { cost: more(scaled(range, stringTraversalFactor)) };
  }

  #conditional(node: Call, sizes: readonly Range[], costs: readonly Range[]): CallCost {
    const [condition, then, otherwise] = costs as [Range, Range, Range];
    const left = this.#entrySizes(node.args[1] as Expression);
    const right = this.#entrySizes(node.args[2] as Expression);
    if (left && right) this.#entries.set(node, joined(left, right));
    return { cost: plus(condition, union(then, otherwise)), size: union(sizes[1] as Range, sizes[2] as Range) };
  }

  #addEntries(node: Call): void {
    const left = this.#entrySizes(node.args[0] as Expression);
    const right = this.#entrySizes(node.args[1] as Expression);
    if (left && right) this.#entries.set(node, joined(left, right));
  }

  /** As far as the node or the declarations say; anything otherwise. */
  #sizeOf(operand: Operand): Range {
    return operand.size ?? this.#declaredSize(operand.path) ?? unknown;
  }
}

/** An address has 4 or 16 bytes. */
const addressSize: Range = { minimum: 4, maximum: 16 };
const formatRegexSizeMax = 128;
const formatSizeMax = 64;

const nominal = new Set(
  (
    'serviceAccount path group resource subresource namespace name allowed reason error errored ' +
    'masked prefixLength family isUnspecified isLoopback isLinkLocalMulticast isLinkLocalUnicast isGlobalUnicast ' +
    'format.named sign asInteger isInteger asApproximateFloat isGreaterThan isLessThan compareTo add sub ' +
    'major minor patch getScheme getHostname getHost getPort getEscapedPath getQuery'
  ).split(' '),
);

const compared = new Set([
  'equals',
  'not_equals',
  ...['less', 'greater', 'less_equals', 'greater_equals'].flatMap(each => [`${each}_string`, `${each}_bytes`]),
]);

function typeOf(node: Expression): CelType {
  return node.type ?? dynType;
}

function literalSize(node: Expression): Range | undefined {
  if (node.kind === 'list') return fixed(node.elements.length);
  if (node.kind === 'map') return fixed(node.entries.length);
  if (node.kind !== 'literal') return undefined;
  if (typeof node.value === 'string') return fixed(codePointCount(node.value));
  return node.value instanceof Uint8Array ? fixed(node.value.length) : one;
}

function isScalar(type: CelType): boolean {
  if (isOptional(type)) return isScalar(type.parameters[0] as CelType);
  return ['bool', 'double', 'duration', 'int', 'timestamp', 'uint'].includes(type.kind);
}

function joined(left: EntrySizes, right: EntrySizes): EntrySizes {
  return { kind: left.kind, key: union(left.key, right.key), value: union(left.value, right.value) };
}

function allocating(factor: number, size: Range): CallCost {
  return { cost: sum([scaled(size, factor), one, fixed(listCreateCost)]), size };
}

function wholeNumber(operand: Operand, otherwise: number): number {
  const value = operand.node?.kind === 'literal' ? operand.node.value : undefined;
  return typeof value === 'number' || typeof value === 'bigint' ? Math.max(0, Number(value)) : otherwise;
}

function selectorCost(length: Range): Range {
  const requirements = scaled(scaled(length, 0.5), listCreateCost + objectCreateCost);
  return sum([fixed(listCreateCost), scaled(length, stringTraversalFactor), requirements]);
}

function objectEquality(left: Operand, right: Operand): CallCost | undefined {
  if (!sameType(left.type, right.type)) return undefined;
  switch (left.type.name) {
    case 'kubernetes.NamedFormat':
      return { cost: scaled({ minimum: 1, maximum: formatSizeMax }, stringTraversalFactor) };
    case 'kubernetes.URL': {
      const size = right.size === undefined ? one : right.size;
      return { cost: scaled({ minimum: 1, maximum: size.maximum }, stringTraversalFactor) };
    }
  }
  return simpleEquality.has(left.type.name) ? { cost: one } : undefined;
}

const simpleEquality = new Set([
  'net.IP',
  'net.CIDR',
  'kubernetes.Quantity',
  'kubernetes.Semver',
  ...['Authorizer', 'PathCheck', 'GroupCheck', 'ResourceCheck', 'Decision'].map(
    each => `kubernetes.authorization.${each}`,
  ),
]);
