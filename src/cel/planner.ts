import {
  type ActualCost,
  actualCost,
  comparisonCost,
  listCreateCost,
  mapCreateCost,
  objectCreateCost,
} from './actual-cost.ts';
import type { Call, Comprehension, Entry, Expression, Identifier, ObjectLiteral, Reference, Select } from './ast.ts';
import { type DeclType, fieldOf, JsonObject } from './declarations.ts';
import type { CelFunction, Overload } from './functions.ts';
import { noValue } from './libraries/optional.ts';
import { compare, equal, listIndex, noSuchOverload } from './operations.ts';
import { regexOf } from './regex.ts';
import type { CelType } from './types.ts';
import { isDynOrError } from './unify.ts';
import {
  CelError,
  CelList,
  CelMap,
  CelObject,
  type CelValue,
  canonicalKey,
  CostExceeded,
  Double,
  EntryMap,
  MadeObject,
  none,
  Optional,
  type Result,
  TypeValue,
  typeOfValue,
  Uint,
} from './values.ts';

/** One evaluation: where its variables and costs are. */
export class Frame {
  readonly globals: Result[];
  readonly locals: Result[] = [];
  readonly costMax: number;
  cost = 0;

  constructor(globals: Result[], costMax: number) {
    this.globals = globals;
    this.costMax = costMax;
  }
}

/** A part of an expression, ready to run. */
export type Step = (frame: Frame) => Result;

/** What the planner asks of the environment. */
export interface PlanScope {
  function(name: string): CelFunction | undefined;
  variable(name: string): DeclType | undefined;
}

export interface Program {
  readonly step: Step;
  /** The global variables, by their place in `Frame.globals`. */
  readonly globals: readonly string[];
}

/** Makes closures of a checked tree. Costs are counted as upstream's interpreter counts them. */
export function plan(expression: Expression, scope: PlanScope): Program | CelError {
  const planner = new Planner(scope);
  try {
    const step = stepOf(planner.plan(expression));
    return { step, globals: planner.globals };
  } catch (error) {
    if (error instanceof CannotPlan) return error.problem;
    throw error;
  }
}

/** A constant part of the expression has no value: `int('x')`. */
class CannotPlan {
  readonly problem: CelError;

  constructor(problem: CelError) {
    this.problem = problem;
  }
}

type Plan =
  | { readonly kind: 'constant'; readonly value: CelValue }
  | { readonly kind: 'attribute'; readonly attribute: Attribute }
  | { readonly kind: 'step'; readonly step: Step };

/** A variable or value and what is selected from it; `?:` of two of them is one too. */
type Attribute =
  | { readonly kind: 'path'; readonly start: Start; readonly qualifiers: readonly Qualifier[] }
  | { readonly kind: 'choice'; readonly condition: Step; readonly then: Attribute; readonly otherwise: Attribute };

type Start =
  | { readonly kind: 'global'; readonly index: number; readonly decl: DeclType | undefined }
  | { readonly kind: 'local'; readonly index: number; readonly decl: DeclType | undefined }
  | { readonly kind: 'step'; readonly step: Step };

interface Qualifier {
  readonly key: CelValue | undefined;
  /** Computes the key where it is no constant. */
  readonly resolve: Step | undefined;
  readonly optional: boolean;
}

class Planner {
  readonly globals: string[] = [];
  readonly #scope: PlanScope;
  readonly #locals: { readonly name: string; readonly start: Start }[] = [];
  #depth = 0;

  constructor(scope: PlanScope) {
    this.#scope = scope;
  }

  plan(node: Expression): Plan {
    switch (node.kind) {
      case 'literal':
        return constant(node.value);
      case 'identifier':
        return this.#reference(node, node.reference as Reference);
      case 'select':
        return node.reference === undefined ? this.#select(node) : this.#reference(node, node.reference);
      case 'call':
        return this.#call(node);
      case 'list':
        return this.#list(node);
      case 'map':
        return this.#map(node.entries);
      case 'object':
        return this.#object(node);
      case 'comprehension':
        return this.#comprehension(node);
    }
  }

  #step(node: Expression): Step {
    return stepOf(this.plan(node));
  }

  #reference(node: Identifier | Select, reference: Reference): Plan {
    switch (reference.kind) {
      case 'constant':
        return constant(reference.value);
      case 'local':
        return path((this.#locals.findLast(({ name }) => name === reference.name) as { start: Start }).start);
      case 'global': {
        const decl = this.#scope.variable(reference.name);
        return path({ kind: 'global', index: this.#global(reference.name), decl });
      }
    }
  }

  #global(name: string): number {
    const index = this.globals.indexOf(name);
    return index >= 0 ? index : this.globals.push(name) - 1;
  }

  #select(node: Select): Plan {
    const operand = attributeOf(this.plan(node.operand));
    if (node.test) return step(presenceTest(operand, node.field));
    return qualified(operand, { key: node.field, resolve: undefined, optional: false });
  }

  #index(node: Call, optional: boolean): Plan {
    const [operand, index] = node.args as [Expression, Expression];
    const attribute = attributeOf(this.plan(operand));
    const key = this.plan(index);
    switch (key.kind) {
      case 'constant':
        return qualified(attribute, { key: key.value, resolve: undefined, optional });
      case 'attribute':
        return qualified(attribute, { key: undefined, resolve: resolver(key.attribute), optional });
      case 'step':
        return qualified(attribute, { key: undefined, resolve: key.step, optional });
    }
  }

  #call(node: Call): Plan {
    switch (node.name) {
      case '_&&_':
        return step(and(this.#step(node.args[0] as Expression), this.#step(node.args[1] as Expression)));
      case '_||_':
        return step(or(this.#step(node.args[0] as Expression), this.#step(node.args[1] as Expression)));
      case '_?:_':
      case '_?_:_':
        return this.#choice(node);
      case '_[_]':
        return this.#index(node, false);
      case '_[?_]':
      case '_?._':
        return this.#index(node, true);
    }
    if (node.target !== undefined && (node.name === 'or' || node.name === 'orValue')) return this.#orElse(node);
    const operands = node.target === undefined ? node.args : [node.target, ...node.args];
    const plans = operands.map(each => this.plan(each));
    const steps = plans.map(stepOf);
    if (node.name === '_==_') return step(equality(steps[0] as Step, steps[1] as Step, true));
    if (node.name === '_!=_') return step(equality(steps[0] as Step, steps[1] as Step, false));
    const overloads = this.#overloads(node);
    const only = overloads.length === 1 ? (overloads[0] as Overload).id : '';
    if (only === 'in_list') {
      const members = memberSet(plans[1] as Plan);
      if (members !== undefined) return membership(steps[0] as Step, members);
    }
    const constants = plans.map(each => (each.kind === 'constant' ? each.value : undefined));
    if (conversions.has(node.name) && plans.length === 1 && plans[0]?.kind === 'constant') {
      const value = dispatcher(node, overloads)([constants[0] as CelValue]);
      if (value instanceof CelError) throw new CannotPlan(value);
      return constant(value);
    }
    this.#checkRegex(node, constants);
    return step(this.#invocation(node, operands, steps, overloads, only));
  }

  /** A pattern that is a constant is compiled once, and must be a pattern. */
  #checkRegex(node: Call, constants: readonly (CelValue | undefined)[]): void {
    const pattern = constants[1];
    if (!regexFunctions.has(node.name) || typeof pattern !== 'string') return;
    const regex = regexOf(pattern);
    if (regex instanceof CelError) throw new CannotPlan(regex);
  }

  #overloads(node: Call): readonly Overload[] {
    const all = this.#scope.function(node.name)?.overloads ?? [];
    const possible = all.filter(({ id }) => node.overloads?.includes(id));
    return possible.length > 0 ? possible : all;
  }

  #invocation(
    node: Call,
    operands: readonly Expression[],
    steps: readonly Step[],
    overloads: readonly Overload[],
    only: string,
  ): Step {
    const cost = actualCost(node.name, only);
    const overload = overloads[0] as Overload;
    const certain =
      only !== '' && operands.every((each, index) => isCertain(each, overload.parameters[index] as CelType));
    if (typeof cost === 'number' && steps.length === 2) {
      if (comparisons.has(node.name)) return comparison(steps[0] as Step, steps[1] as Step, node.name, cost);
    }
    if (certain) return direct(overload, steps, cost);
    return dispatched(dispatcher(node, overloads), steps, cost);
  }

  #choice(node: Call): Plan {
    const [condition, then, otherwise] = node.args as [Expression, Expression, Expression];
    return {
      kind: 'attribute',
      attribute: {
        kind: 'choice',
        condition: this.#step(condition),
        then: attributeOf(this.plan(then)),
        otherwise: attributeOf(this.plan(otherwise)),
      },
    };
  }

  #orElse(node: Call): Plan {
    const left = this.#step(node.target as Expression);
    const right = this.#step(node.args[0] as Expression);
    const unwrap = node.name === 'orValue';
    return step(frame => {
      const value = left(frame);
      if (!(value instanceof Optional)) return value instanceof CelError ? value : noSuchOverload;
      if (value.value === undefined) return right(frame);
      return unwrap ? value.value : value;
    });
  }

  #list(node: Extract<Expression, { kind: 'list' }>): Plan {
    const plans = node.elements.map(({ value }) => this.plan(value));
    if (plans.every(each => each.kind === 'constant')) return constant(new CelList(plans.map(({ value }) => value)));
    const steps = plans.map(stepOf);
    const optional = node.elements.map(each => each.optional);
    return step(frame => {
      const values: CelValue[] = [];
      for (let index = 0; index < steps.length; index++) {
        const value = (steps[index] as Step)(frame);
        if (value instanceof CelError) return value;
        if (!optional[index]) values.push(value);
        else if (!(value instanceof Optional)) {
          return new CelError('cannot initialize optional list element from non-optional value');
        } else if (value.value !== undefined) values.push(value.value);
      }
      frame.cost += listCreateCost;
      return new CelList(values);
    });
  }

  #map(entries: readonly Entry[]): Plan {
    const plans = entries.map(({ key, value, optional }) => ({
      key: this.plan(key),
      value: this.plan(value),
      optional,
    }));
    const steps = plans.map(({ key, value, optional }) => ({ key: stepOf(key), value: stepOf(value), optional }));
    const make: Step = frame => {
      const map = new EntryMap();
      for (const each of steps) {
        const key = each.key(frame);
        if (key instanceof CelError) return key;
        const value = each.value(frame);
        if (value instanceof CelError) return value;
        const problem = setEntry(map, key, value, each.optional);
        if (problem !== undefined) return problem;
      }
      frame.cost += mapCreateCost;
      return map;
    };
    if (!plans.every(({ key, value }) => key.kind === 'constant' && value.kind === 'constant')) return step(make);
    const value = make(new Frame([], Number.POSITIVE_INFINITY));
    return value instanceof CelError ? step(() => value) : constant(value);
  }

  #object(node: ObjectLiteral): Plan {
    const fields = node.fields.map(({ name, value, optional }) => ({ name, value: this.#step(value), optional }));
    const type = node.type as CelType;
    return step(frame => {
      const values = new Map<string, CelValue>();
      for (const { name, value, optional } of fields) {
        const given = value(frame);
        if (given instanceof CelError) return given;
        if (!optional) values.set(name, given);
        else if (!(given instanceof Optional)) {
          return new CelError(`cannot initialize optional entry '${name}' from non-optional value`);
        } else if (given.value === undefined) values.delete(name);
        else values.set(name, given.value);
      }
      frame.cost += objectCreateCost;
      return new MadeObject(type, values);
    });
  }

  #comprehension(node: Comprehension): Plan {
    const { shape } = node;
    if (shape.kind === 'bind') return this.#bind(node);
    const ranged = this.plan(node.range);
    const range = stepOf(ranged);
    const over = declOfPlan(ranged);
    const first = this.#depth;
    const second = node.variable2 === undefined ? -1 : first + 1;
    const depth = this.#locals.length;
    this.#depth += second < 0 ? 1 : 2;
    const [firstDecl, secondDecl] =
      node.variable2 === undefined ? [over?.key ?? over?.element, undefined] : [undefined, over?.element];
    this.#locals.push({ name: node.variable, start: { kind: 'local', index: first, decl: firstDecl } });
    if (node.variable2 !== undefined)
      this.#locals.push({ name: node.variable2, start: { kind: 'local', index: second, decl: secondDecl } });
    const loop = this.#loop(shape, { first, second });
    this.#locals.length = depth;
    this.#depth = first;
    return step(frame => {
      const values = range(frame);
      if (values instanceof CelError) return values;
      const source = sourceOf(values);
      if (source === undefined) return new CelError(`got '${typeOfValue(values).text}', expected iterable type`);
      const result = loop(frame, source);
      if (frame.cost > frame.costMax) throw new CostExceeded();
      return result;
    });
  }

  #loop(shape: Exclude<Comprehension['shape'], { kind: 'bind' }>, slots: Slots): Loop {
    switch (shape.kind) {
      case 'all':
        return forAll(this.#step(shape.predicate), slots);
      case 'exists':
        return forSome(this.#step(shape.predicate), slots);
      case 'one':
        return forOne(this.#step(shape.predicate), slots);
      case 'list': {
        const predicate = shape.predicate && this.#step(shape.predicate);
        const element = this.plan(shape.element);
        return collectList(predicate, stepOf(element), element.kind === 'constant' ? 2 : 2 + listCreateCost, slots);
      }
      case 'map': {
        const predicate = shape.predicate && this.#step(shape.predicate);
        const key = shape.key && this.#step(shape.key);
        return collectMap(predicate, key, this.#step(shape.value), slots);
      }
    }
  }

  /** The bound value is computed when it is first read. */
  #bind(node: Comprehension): Plan {
    const initial = this.#step(node.initial);
    const index = this.#depth++;
    const lazy: Step = frame => {
      const known = frame.locals[index];
      return known !== undefined ? known : (frame.locals[index] = initial(frame));
    };
    this.#locals.push({ name: node.accumulator, start: { kind: 'step', step: lazy } });
    const result = this.#step(node.result);
    this.#locals.pop();
    this.#depth = index;
    return step(frame => {
      frame.locals[index] = undefined as never;
      return result(frame);
    });
  }
}

const conversions = new Set([
  'bool',
  'bytes',
  'double',
  'duration',
  'dyn',
  'int',
  'string',
  'timestamp',
  'type',
  'uint',
]);
const regexFunctions = new Set(['matches', 'find', 'findAll']);
const comparisons = new Set(['_<_', '_<=_', '_>_', '_>=_']);

function constant(value: CelValue): Plan {
  return { kind: 'constant', value };
}

function step(run: Step): Plan {
  return { kind: 'step', step: run };
}

function path(start: Start): Plan {
  return { kind: 'attribute', attribute: { kind: 'path', start, qualifiers: [] } };
}

function attributeOf(planned: Plan): Attribute {
  if (planned.kind === 'attribute') return planned.attribute;
  return { kind: 'path', start: { kind: 'step', step: stepOf(planned) }, qualifiers: [] };
}

function qualified(attribute: Attribute, qualifier: Qualifier): Plan {
  return { kind: 'attribute', attribute: extended(attribute, qualifier) };
}

/** What is selected from a choice is selected from both. */
function extended(attribute: Attribute, qualifier: Qualifier): Attribute {
  if (attribute.kind === 'path') return { ...attribute, qualifiers: [...attribute.qualifiers, qualifier] };
  const { then, otherwise } = attribute;
  return { ...attribute, then: extended(then, qualifier), otherwise: extended(otherwise, qualifier) };
}

function stepOf(planned: Plan): Step {
  switch (planned.kind) {
    case 'constant': {
      const { value } = planned;
      return () => value;
    }
    case 'step':
      return planned.step;
    case 'attribute':
      return evaluator(planned.attribute);
  }
}

/** Reading an attribute costs one more than its selections; choosing costs nothing. */
function evaluator(attribute: Attribute): Step {
  if (attribute.kind === 'choice') return resolver(attribute);
  const { start, qualifiers } = attribute;
  if (qualifiers.length === 0 && start.kind !== 'step') {
    const { index } = start;
    if (start.kind === 'local') {
      return frame => {
        frame.cost++;
        return frame.locals[index] as Result;
      };
    }
    return frame => {
      frame.cost++;
      return frame.globals[index] as Result;
    };
  }
  const resolve = resolver(attribute);
  return frame => {
    frame.cost++;
    return resolve(frame);
  };
}

function resolver(attribute: Attribute): Step {
  if (attribute.kind === 'choice') return choose(attribute);
  const { qualifiers } = attribute;
  const start = starter(attribute.start);
  if (qualifiers.length === 0) return start;
  const general: Step = frame => walk(start(frame), qualifiers, frame);
  const names = fieldNames(qualifiers);
  if (names === undefined) return general;
  const declared = attribute.start.kind === 'step' ? undefined : declaredPath(attribute.start.decl, names);
  if (declared !== undefined) return declaredReader(start, declared, general);
  return names.length === 1 ? fieldReader(start, names[0] as string) : general;
}

function starter(start: Start): Step {
  if (start.kind === 'step') return start.step;
  const { index } = start;
  if (start.kind === 'local') return frame => frame.locals[index] as Result;
  return frame => frame.globals[index] as Result;
}

function choose({ condition, then, otherwise }: Extract<Attribute, { kind: 'choice' }>): Step {
  const left = resolver(then);
  const right = resolver(otherwise);
  return frame => {
    const value = condition(frame);
    if (value === true) return left(frame);
    if (value === false) return right(frame);
    return value instanceof CelError ? value : noSuchOverload;
  };
}

/** The names of `.a.b.c`; undefined where something else is in between. */
function fieldNames(qualifiers: readonly Qualifier[]): readonly string[] | undefined {
  const names: string[] = [];
  for (const { key, optional } of qualifiers) {
    if (optional || typeof key !== 'string') return undefined;
    names.push(key);
  }
  return names;
}

interface DeclaredPath {
  readonly decl: DeclType;
  readonly properties: readonly string[];
  readonly last: DeclType;
}

/** The properties of JSON that declared fields stand for, all the way. */
function declaredPath(decl: DeclType | undefined, names: readonly string[]): DeclaredPath | undefined {
  if (decl === undefined) return undefined;
  const properties: string[] = [];
  let last = decl;
  for (const name of names) {
    const field = fieldOf(last, name);
    if (field === undefined || field.property in Object.prototype) return undefined;
    properties.push(field.property);
    last = field.type;
  }
  return { decl, properties, last };
}

/** The declaration of what a plan reads; undefined where it computes. */
function declOfPlan(planned: Plan): DeclType | undefined {
  if (planned.kind !== 'attribute' || planned.attribute.kind !== 'path') return undefined;
  const { start, qualifiers } = planned.attribute;
  const names = fieldNames(qualifiers);
  if (start.kind === 'step' || names === undefined) return undefined;
  return names.length === 0 ? start.decl : declaredPath(start.decl, names)?.last;
}

/** Goes down plain JSON; whatever is not there is left to the general way, which knows what to say. */
function declaredReader(start: Step, { decl, properties, last }: DeclaredPath, general: Step): Step {
  const count = properties.length;
  const [only] = properties as [string];
  if (count === 1) {
    return frame => {
      const value = start(frame);
      if (!(value instanceof JsonObject) || value.decl !== decl) return general(frame);
      const raw = value.object[only];
      if (raw === undefined || raw === null) return general(frame);
      frame.cost++;
      return last.adapt(raw);
    };
  }
  return frame => {
    const value = start(frame);
    if (!(value instanceof JsonObject) || value.decl !== decl) return general(frame);
    let raw: unknown = value.object;
    for (let index = 0; index < count; index++) {
      if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return general(frame);
      raw = (raw as Record<string, unknown>)[properties[index] as string];
    }
    if (raw === undefined || raw === null) return general(frame);
    frame.cost += count;
    return last.adapt(raw);
  };
}

function fieldReader(start: Step, name: string): Step {
  return frame => {
    const value = start(frame);
    if (value instanceof CelError) return value;
    if (value instanceof Optional)
      return walkOptional(value, [{ key: name, resolve: undefined, optional: false }], frame);
    frame.cost++;
    return access(value, name) ?? missing(value, name);
  };
}

/** Selects one after the other; from an optional on, all is optional. */
function walk(start: Result, qualifiers: readonly Qualifier[], frame: Frame): Result {
  if (start instanceof CelError) return start;
  if (start instanceof Optional) return walkOptional(start, qualifiers, frame);
  return walkFrom(start, qualifiers, frame, false);
}

function walkOptional(start: Optional, qualifiers: readonly Qualifier[], frame: Frame): Result {
  return start.value === undefined ? none : walkFrom(start.value, qualifiers, frame, true);
}

function walkFrom(start: CelValue, qualifiers: readonly Qualifier[], frame: Frame, already: boolean): Result {
  let value = start;
  let optional = already;
  for (const qualifier of qualifiers) {
    optional ||= qualifier.optional;
    const key = qualifier.resolve === undefined ? (qualifier.key as CelValue) : qualifier.resolve(frame);
    if (key instanceof CelError) {
      frame.cost++;
      return key;
    }
    const next = access(value, key);
    if (next === undefined && optional) return none;
    frame.cost++;
    if (next === undefined) return missing(value, key);
    if (next instanceof CelError) return next;
    value = next;
  }
  return optional ? new Optional(value) : value;
}

/** Undefined when there is nothing under the key. */
function access(container: CelValue, key: CelValue): Result | undefined {
  if (container instanceof CelObject) return typeof key === 'string' ? container.field(key) : noSuchOverload;
  if (container instanceof CelMap) return container.find(key);
  if (container instanceof CelList) {
    const index = listIndex(key);
    if (index instanceof CelError) return index;
    return index >= 0 && index < container.size ? container.get(index) : undefined;
  }
  if (container instanceof Optional) return container.value === undefined ? noValue : access(container.value, key);
  return undefined;
}

function missing(container: CelValue, key: CelValue): CelError {
  const what = container instanceof CelList ? 'index out of bounds' : 'no such key';
  return new CelError(`${what}: ${keyText(key)}`);
}

export function keyText(key: CelValue): string {
  if (key instanceof Uint || key instanceof Double) return String(key.value);
  if (typeof key === 'object' && key !== null) return typeOfValue(key).text;
  return String(key);
}

function presenceTest(attribute: Attribute, field: string): Step {
  if (attribute.kind === 'choice') {
    const left = presenceTest(attribute.then, field);
    const right = presenceTest(attribute.otherwise, field);
    const { condition } = attribute;
    return frame => {
      const value = condition(frame);
      if (value === true) return left(frame);
      if (value === false) return right(frame);
      return value instanceof CelError ? value : noSuchOverload;
    };
  }
  const operand = resolver(attribute);
  return frame => {
    const found = operand(frame);
    if (found instanceof CelError) return found;
    const value = found instanceof Optional ? found.value : found;
    if (value === undefined) return false;
    frame.cost++;
    if (value instanceof CelList) return new CelError(`unsupported index type 'string' in list`);
    const member = access(value, field);
    if (member instanceof CelError) return member;
    return member !== undefined;
  };
}

function and(left: Step, right: Step): Step {
  return frame => {
    const one = left(frame);
    if (one === false) return false;
    const other = right(frame);
    if (other === false) return false;
    if (one === true && other === true) return true;
    return failureOf(one) ?? failureOf(other) ?? noSuchOverload;
  };
}

function or(left: Step, right: Step): Step {
  return frame => {
    const one = left(frame);
    if (one === true) return true;
    const other = right(frame);
    if (other === true) return true;
    if (one === false && other === false) return false;
    return failureOf(one) ?? failureOf(other) ?? noSuchOverload;
  };
}

/** The error that an operand of `&&` and `||` is, or makes by being no bool. */
function failureOf(value: Result): CelError | undefined {
  if (value instanceof CelError) return value;
  return typeof value === 'boolean' ? undefined : noSuchOverload;
}

function equality(left: Step, right: Step, wanted: boolean): Step {
  return frame => {
    const one = left(frame);
    const other = right(frame);
    frame.cost += comparisonCost(one, other);
    if (frame.cost > frame.costMax) throw new CostExceeded();
    if (one instanceof CelError) return one;
    if (other instanceof CelError) return other;
    const same = equal(one, other);
    if (typeof same === 'boolean') return same === wanted;
    return wanted ? same : true;
  };
}

function comparison(left: Step, right: Step, name: string, cost: number): Step {
  switch (name) {
    case '_<_':
      return frame => {
        const one = left(frame);
        const other = right(frame);
        frame.cost += cost;
        if (typeof one === 'number' && typeof other === 'number') return one < other;
        return compared(one, other, order => order < 0);
      };
    case '_<=_':
      return frame => {
        const one = left(frame);
        const other = right(frame);
        frame.cost += cost;
        if (typeof one === 'number' && typeof other === 'number') return one <= other;
        return compared(one, other, order => order <= 0);
      };
    case '_>_':
      return frame => {
        const one = left(frame);
        const other = right(frame);
        frame.cost += cost;
        if (typeof one === 'number' && typeof other === 'number') return one > other;
        return compared(one, other, order => order > 0);
      };
    default:
      return frame => {
        const one = left(frame);
        const other = right(frame);
        frame.cost += cost;
        if (typeof one === 'number' && typeof other === 'number') return one >= other;
        return compared(one, other, order => order >= 0);
      };
  }
}

function compared(left: Result, right: Result, holds: (order: number) => boolean): Result {
  if (left instanceof CelError) return left;
  if (right instanceof CelError) return right;
  const order = compare(left, right);
  return typeof order === 'number' ? holds(order) : order;
}

/** Members that are found by looking them up, as upstream does with constant lists: it costs nothing. */
function memberSet(list: Plan): ReadonlySet<unknown> | undefined {
  if (list.kind !== 'constant' || !(list.value instanceof CelList)) return undefined;
  const members = new Set<unknown>();
  for (const item of list.value.items) {
    const key = memberKey(item as CelValue);
    if (key === undefined) return undefined;
    members.add(key);
  }
  return members;
}

function memberKey(value: CelValue): unknown {
  if (value instanceof Double) return Number.isNaN(value.value) ? {} : (canonicalKey(value) ?? value.value);
  return canonicalKey(value);
}

function membership(element: Step, members: ReadonlySet<unknown>): Plan {
  if (members.size === 0) return constant(false);
  return step(frame => {
    const value = element(frame);
    return value instanceof CelError ? value : members.has(memberKey(value));
  });
}

type Dispatch = (args: CelValue[]) => Result;

/** Whether the value of the operand is what the overload takes, without looking at it. */
function isCertain(operand: Expression, parameter: CelType): boolean {
  return (
    parameter.kind === 'dyn' ||
    parameter.kind === 'parameter' ||
    (operand.type !== undefined && !isDynOrError(operand.type) && operand.type.kind !== 'null')
  );
}

function dispatcher(node: Call, overloads: readonly Overload[]): Dispatch {
  const operator = /^[_@!-]/.test(node.name);
  return args => {
    for (const { parameters, call, unguarded } of overloads) {
      if (parameters.length !== args.length) continue;
      if (unguarded || args.every((value, index) => accepts(value, parameters[index] as CelType)))
        return call(...(args as never[]));
    }
    if (operator) return noSuchOverload;
    return new CelError(`no such overload: ${node.name}(${args.map(each => typeOfValue(each).name).join(', ')})`);
  };
}

function accepts(value: CelValue, type: CelType): boolean {
  switch (type.kind) {
    case 'dyn':
    case 'any':
    case 'parameter':
      return true;
    case 'list':
      return value instanceof CelList && (value.size === 0 || takes(value.get(0), type.parameters[0] as CelType));
    case 'map':
      return value instanceof CelObject || (value instanceof CelMap && acceptsEntry(value, type));
    case 'type':
      return value instanceof TypeValue;
  }
  const actual = typeOfValue(value);
  return actual.kind === type.kind && actual.name === type.name;
}

/** Lists and maps are judged by what they have first, as upstream does it. */
function acceptsEntry(map: CelMap, type: CelType): boolean {
  const [keyType, valueType] = type.parameters as [CelType, CelType];
  if (keyType.kind === 'parameter' && valueType.kind === 'parameter') return true;
  const [key] = map.keys();
  return key === undefined || (accepts(key, keyType) && takes(map.find(key) as Result, valueType));
}

function takes(value: Result, type: CelType): boolean {
  return value instanceof CelError || accepts(value, type);
}

function direct({ call }: Overload, steps: readonly Step[], cost: ActualCost): Step {
  const invoke = call as (...args: CelValue[]) => Result;
  const [first, second] = steps as [Step, Step];
  if (typeof cost !== 'number') return dispatched(args => invoke(...args), steps, cost);
  switch (steps.length) {
    case 1:
      return frame => {
        const value = first(frame);
        frame.cost += cost;
        return value instanceof CelError ? value : invoke(value);
      };
    case 2:
      return frame => {
        const one = first(frame);
        const other = second(frame);
        frame.cost += cost;
        if (one instanceof CelError) return one;
        return other instanceof CelError ? other : invoke(one, other);
      };
    default:
      return dispatched(args => invoke(...args), steps, cost);
  }
}

function dispatched(dispatch: Dispatch, steps: readonly Step[], cost: ActualCost): Step {
  return frame => {
    const args: CelValue[] = [];
    for (const each of steps) {
      const value = each(frame);
      if (value instanceof CelError) return value;
      args.push(value);
    }
    if (typeof cost === 'number') frame.cost += cost;
    else if (typeof cost === 'function') frame.cost += cost(args);
    if (frame.cost > frame.costMax) throw new CostExceeded();
    const result = dispatch(args);
    if (typeof cost === 'object') frame.cost += cost.ofResult(result);
    return result;
  };
}

function setEntry(map: EntryMap, key: CelValue, value: CelValue, optional: boolean): CelError | undefined {
  const canonical = canonicalKey(key);
  if (canonical === undefined) return new CelError(`unsupported key type: ${typeOfValue(key).text}`);
  if (!optional) {
    if (map.entries.has(canonical)) return new CelError(`Failed with repeated key: ${keyText(key)}`);
    map.entries.set(canonical, [key, value]);
    return undefined;
  }
  if (!(value instanceof Optional)) {
    return new CelError(`cannot initialize optional entry '${keyText(key)}' from non-optional value`);
  }
  if (value.value === undefined) map.entries.delete(canonical);
  else map.entries.set(canonical, [key, value.value]);
  return undefined;
}

/** What a loop goes over: a list, or the entries of a map. */
type Source = CelList | Entries;

class Entries {
  readonly keys: readonly CelValue[];
  readonly map: CelMap | CelObject;

  constructor(map: CelMap | CelObject) {
    this.map = map;
    this.keys = map instanceof CelObject ? map.names() : map.keys();
  }

  get size(): number {
    return this.keys.length;
  }
}

function sourceOf(values: CelValue): Source | undefined {
  if (values instanceof CelList) return values;
  return values instanceof CelMap || values instanceof CelObject ? new Entries(values) : undefined;
}

/** Where the variables of a loop are; the second is -1 where there is none. */
interface Slots {
  readonly first: number;
  readonly second: number;
}

/** Puts an element into the variables of the loop. */
function enter(frame: Frame, source: Source, index: number, { first, second }: Slots): void {
  if (frame.cost > frame.costMax) throw new CostExceeded();
  const { locals } = frame;
  if (source instanceof CelList) {
    if (second < 0) locals[first] = source.get(index);
    else {
      locals[first] = index;
      locals[second] = source.get(index);
    }
    return;
  }
  const key = source.keys[index] as CelValue;
  locals[first] = key;
  if (second >= 0) locals[second] = access(source.map, key) as Result;
}

type Loop = (frame: Frame, source: Source) => Result;

/** The condition reads and tests the accumulator, and so does the step. */
function forAll(predicate: Step, slots: Slots): Loop {
  return (frame, source) => {
    let all: Result = true;
    for (let index = 0; index < source.size; index++) {
      enter(frame, source, index, slots);
      if (all === false) {
        frame.cost += 2;
        break;
      }
      frame.cost += 3;
      const value = predicate(frame);
      if (value === false) all = false;
      else if (all === true && value !== true) all = failureOf(value) as CelError;
    }
    frame.cost++;
    return all;
  };
}

function forSome(predicate: Step, slots: Slots): Loop {
  return (frame, source) => {
    let some: Result = false;
    for (let index = 0; index < source.size; index++) {
      enter(frame, source, index, slots);
      if (some === true) {
        frame.cost += 3;
        break;
      }
      frame.cost += 4;
      const value = predicate(frame);
      if (value === true) some = true;
      else if (some === false && value !== false) some = failureOf(value) as CelError;
    }
    frame.cost++;
    return some;
  };
}

function forOne(predicate: Step, slots: Slots): Loop {
  return (frame, source) => {
    let count = 0;
    for (let index = 0; index < source.size; index++) {
      enter(frame, source, index, slots);
      const value = predicate(frame);
      if (value === true) {
        frame.cost += 2;
        count++;
      } else if (value !== false) return failureOf(value) as CelError;
    }
    frame.cost += 2;
    return count === 1;
  };
}

function collectList(predicate: Step | undefined, element: Step, cost: number, slots: Slots): Loop {
  return (frame, source) => {
    const elements: CelValue[] = [];
    for (let index = 0; index < source.size; index++) {
      enter(frame, source, index, slots);
      const wanted = predicate === undefined || predicate(frame);
      if (wanted === false) continue;
      if (wanted !== true) return failureOf(wanted) as CelError;
      const value = element(frame);
      frame.cost += cost;
      if (value instanceof CelError) return value;
      elements.push(value);
    }
    frame.cost++;
    return new CelList(elements);
  };
}

function collectMap(predicate: Step | undefined, key: Step | undefined, value: Step, slots: Slots): Loop {
  return (frame, source) => {
    const map = new EntryMap();
    for (let index = 0; index < source.size; index++) {
      enter(frame, source, index, slots);
      const wanted = predicate === undefined || predicate(frame);
      if (wanted === false) continue;
      if (wanted !== true) return failureOf(wanted) as CelError;
      const name = key?.(frame);
      const added = value(frame);
      frame.cost += 2;
      const problem = name === undefined ? insertAll(map, added) : insert(map, name, added);
      if (problem !== undefined) return problem;
    }
    frame.cost++;
    return map;
  };
}

function insertAll(map: EntryMap, added: Result): CelError | undefined {
  if (added instanceof CelError) return added;
  if (!(added instanceof CelMap)) return noSuchOverload;
  for (const key of added.keys()) {
    const problem = insert(map, key, added.find(key) as Result);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function insert(map: EntryMap, key: Result, value: Result): CelError | undefined {
  if (key instanceof CelError) return key;
  if (value instanceof CelError) return value;
  const canonical = canonicalKey(key);
  if (canonical === undefined) return new CelError(`unsupported key type: ${typeOfValue(key).text}`);
  if (map.entries.has(canonical)) return new CelError(`insert failed: key ${keyText(key)} already exists`);
  map.entries.set(canonical, [key, value]);
  return undefined;
}
