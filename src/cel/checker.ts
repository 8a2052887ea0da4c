import type { Call, Comprehension, Entry, Expression, Identifier, Reference, Select } from './ast.ts';
import type { CelFunction } from './functions.ts';
import type { Issues } from './issues.ts';
import {
  boolType,
  bytesType,
  type CelType,
  doubleType,
  dynType,
  errorType,
  intType,
  isOptional,
  listOf,
  mapOf,
  nullType,
  optionalOf,
  parameterOf,
  sameType,
  stringType,
  typeOf,
  uintType,
} from './types.ts';
import { isDyn, isDynOrError, mostGeneral, Substitutions, unwrapOptional } from './unify.ts';
import { type CelValue, TypeValue, typeOfValue } from './values.ts';

/** What the checker asks of the environment. */
export interface Scope {
  readonly container: string;
  function(name: string): CelFunction | undefined;
  /** The declared type of a global variable. */
  variable(name: string): { readonly type: CelType } | undefined;
  /** A type by name: `int`, `Object.spec`. */
  type(name: string): CelType | undefined;
  constant(name: string): CelValue | undefined;
  /** Undefined when the object type has no such field. */
  field(object: CelType, name: string): CelType | undefined;
  isObject(name: string): boolean;
}

/** Writes types, overloads and references into the tree, and reports what does not fit. */
export function check(expression: Expression, scope: Scope, issues: Issues): void {
  const checker = new Checker(scope, issues);
  checker.check(expression);
  checker.close(expression);
}

/** `A.B.c` is looked up as `x.y.A.B.c`, `x.A.B.c`, `A.B.c` within the container `x.y`. */
export function candidateNames(container: string, name: string): string[] {
  if (name.startsWith('.')) return [name.slice(1)];
  const candidates: string[] = [];
  for (let prefix = container; prefix !== ''; prefix = prefix.slice(0, Math.max(prefix.lastIndexOf('.'), 0))) {
    candidates.push(`${prefix}.${name}`);
  }
  candidates.push(name);
  return candidates;
}

class Checker {
  readonly #scope: Scope;
  readonly #issues: Issues;
  readonly #substitutions = new Substitutions();
  /** Of loops, innermost last. */
  readonly #locals: { readonly name: string; readonly type: CelType }[] = [];
  #parameters = 0;

  constructor(scope: Scope, issues: Issues) {
    this.#scope = scope;
    this.#issues = issues;
  }

  check(node: Expression): CelType {
    const type = this.#typeOf(node);
    node.type = type;
    return type;
  }

  /** Puts what is known at the end into all types. */
  close(node: Expression): void {
    if (node.type !== undefined) node.type = this.#substitutions.apply(node.type, true);
    switch (node.kind) {
      case 'select':
        this.close(node.operand);
        break;
      case 'call':
        if (node.target !== undefined) this.close(node.target);
        for (const each of node.args) this.close(each);
        break;
      case 'list':
        for (const { value } of node.elements) this.close(value);
        break;
      case 'map':
        for (const { key, value } of node.entries) {
          this.close(key);
          this.close(value);
        }
        break;
      case 'object':
        for (const { value } of node.fields) this.close(value);
        break;
      case 'comprehension':
        for (const each of [node.range, node.initial, node.condition, node.step, node.result]) this.close(each);
    }
  }

  #typeOf(node: Expression): CelType {
    switch (node.kind) {
      case 'literal':
        return literalType(node.value);
      case 'identifier':
        return this.#identifier(node);
      case 'select':
        return this.#select(node);
      case 'call':
        return this.#call(node);
      case 'list':
        return this.#list(node);
      case 'map':
        return this.#map(node);
      case 'object':
        return this.#object(node);
      case 'comprehension':
        return this.#comprehension(node);
    }
  }

  #identifier(node: Identifier): CelType {
    const found = this.#resolve(node.name);
    if (found === undefined) {
      this.#undeclared(node.offset, node.name);
      return errorType;
    }
    node.reference = found.reference;
    return found.type;
  }

  #select(node: Select): CelType {
    const qualified = node.test ? undefined : qualifiedName(node);
    if (qualified !== undefined && this.#local(qualified.slice(0, qualified.indexOf('.'))) === undefined) {
      const found = this.#global(qualified);
      if (found !== undefined) {
        node.reference = found.reference;
        return found.type;
      }
    }
    const type = this.#field(node.offset, node.operand, node.field, false);
    return node.test ? boolType : this.#substitutions.apply(type, false);
  }

  #field(offset: number, operand: Expression, name: string, optional: boolean): CelType {
    const operandType = this.#substitutions.apply(this.check(operand), false);
    const target = unwrapOptional(operandType);
    const found = this.#fieldOf(offset, target, name);
    return optional || isOptional(operandType) ? optionalOf(found) : found;
  }

  #fieldOf(offset: number, target: CelType, name: string): CelType {
    switch (target.kind) {
      case 'map':
        return target.parameters[1] as CelType;
      case 'struct':
        return this.#objectField(offset, target, name);
      case 'parameter':
        this.#substitutions.assignable(dynType, target);
        return dynType;
    }
    if (!isDynOrError(target)) {
      this.#issues.report(offset, `type '${target.text}' does not support field selection`);
    }
    return dynType;
  }

  #objectField(offset: number, object: CelType, name: string): CelType {
    const type = this.#scope.field(object, name);
    if (type !== undefined) return type;
    const known = this.#scope.isObject(object.name);
    this.#issues.report(
      offset,
      known ? `undefined field '${name}'` : `unexpected failed resolution of '${object.name}'`,
    );
    return errorType;
  }

  #call(node: Call): CelType {
    if (node.name === '_?._') return this.#optionalSelect(node);
    const args = node.args.map(each => this.check(each));
    if (node.target === undefined) return this.#resolved(node, node.name, args);
    const prefix = qualifiedName(node.target);
    if (prefix !== undefined) {
      const full = `${prefix}.${node.name}`;
      if (this.#function(full) !== undefined) {
        node.target = undefined;
        return this.#resolved(node, full, args);
      }
    }
    return this.#resolved(node, node.name, [this.check(node.target), ...args]);
  }

  #optionalSelect(node: Call): CelType {
    const [operand, field] = node.args as [Expression, Expression];
    const name = field.kind === 'literal' && typeof field.value === 'string' ? field.value : '';
    node.overloads = ['select_optional_field'];
    return this.#substitutions.apply(this.#field(node.offset, operand, name, true), false);
  }

  #resolved(node: Call, name: string, args: readonly CelType[]): CelType {
    const found = this.#function(name);
    if (found === undefined) {
      this.#undeclared(node.offset, name);
      return errorType;
    }
    node.name = found.name;
    if (found.name === '_&&_' || found.name === '_||_') return this.#logical(node, found, args);
    const overloads: string[] = [];
    let result: CelType | undefined;
    for (const overload of found.overloads) {
      if (overload.member !== (node.target !== undefined)) continue;
      const fresh = this.#instantiate(overload.parameters, overload.result);
      if (!this.#substitutions.assignableAll(args, fresh.parameters)) continue;
      overloads.push(overload.id);
      const type = this.#substitutions.apply(fresh.result, false);
      if (result === undefined) result = type;
      else if (!isDyn(result) && !sameType(type, result)) result = dynType;
    }
    if (result === undefined) {
      const known = args.map(each => this.#substitutions.apply(each, true));
      this.#issues.report(
        node.offset,
        `found no matching overload for '${found.name}' applied to '${signature(known, node)}'`,
      );
      return errorType;
    }
    node.overloads = overloads;
    return result;
  }

  #logical(node: Call, found: CelFunction, args: readonly CelType[]): CelType {
    node.overloads = found.overloads.map(({ id }) => id);
    let fits = true;
    for (const [index, type] of args.entries()) {
      if (this.#substitutions.assignable(type, boolType)) continue;
      this.#mismatch((node.args[index] as Expression).offset, boolType, type);
      fits = false;
    }
    return fits ? boolType : errorType;
  }

  /** The signature with parameters of its own for this call. */
  #instantiate(parameters: readonly CelType[], result: CelType): { parameters: CelType[]; result: CelType } {
    const names = new Map<string, CelType>();
    const fresh = (type: CelType): CelType => {
      if (type.kind === 'parameter') {
        let own = names.get(type.name);
        if (own === undefined) names.set(type.name, (own = this.#parameter()));
        return own;
      }
      if (type.parameters.length === 0) return type;
      const inner = type.parameters.map(fresh);
      return { ...type, parameters: inner, text: `${type.name}(${inner.map(each => each.text).join(', ')})` };
    };
    return { parameters: parameters.map(fresh), result: fresh(result) };
  }

  #list(node: Extract<Expression, { kind: 'list' }>): CelType {
    let joined: CelType | undefined;
    for (const { value, optional } of node.elements) {
      const type = this.#entryType(value, this.check(value), optional);
      joined = this.#join(joined, type);
    }
    return listOf(joined ?? this.#parameter());
  }

  #map(node: { readonly entries: readonly Entry[] }): CelType {
    let keys: CelType | undefined;
    let values: CelType | undefined;
    for (const { key, value, optional } of node.entries) {
      keys = this.#join(keys, this.check(key));
      values = this.#join(values, this.#entryType(value, this.check(value), optional));
    }
    return mapOf(keys ?? this.#parameter(), values ?? this.#parameter());
  }

  #entryType(value: Expression, type: CelType, optional: boolean): CelType {
    if (!optional || isOptional(type)) return optional ? unwrapOptional(type) : type;
    if (!isDyn(type)) this.#mismatch(value.offset, optionalOf(type), type);
    return type;
  }

  #object(node: Extract<Expression, { kind: 'object' }>): CelType {
    const found = this.#typeName(node.name);
    let type = errorType;
    if (found === undefined) this.#undeclared(node.offset, node.name);
    else if (found.kind !== 'struct' || !this.#scope.isObject(found.name)) {
      this.#issues.report(node.offset, `'${found.text}' is not a message type`);
    } else type = found;
    if (found !== undefined) node.name = found.name;
    for (const field of node.fields) {
      const value = this.check(field.value);
      if (type.kind !== 'struct') continue;
      const wanted = this.#objectField(field.offset, type, field.name);
      const given = this.#entryType(field.value, value, field.optional);
      if (this.#substitutions.assignable(wanted, given)) continue;
      this.#issues.report(
        field.offset,
        `expected type of field '${field.name}' is '${wanted.text}' but provided type is '${this.#substitutions.apply(given, false).text}'`,
      );
    }
    return type;
  }

  #comprehension(node: Comprehension): CelType {
    const range = this.#substitutions.apply(this.check(node.range), false);
    const accumulated = this.check(node.initial);
    const [first, second] = this.#variables(node, range);
    const depth = this.#locals.length;
    this.#locals.push({ name: node.accumulator, type: accumulated });
    this.#locals.push({ name: node.variable, type: first });
    if (node.variable2 !== undefined) this.#locals.push({ name: node.variable2, type: second });
    this.#assert(node.condition, boolType);
    this.#assert(node.step, accumulated);
    this.#locals.length = depth + 1;
    const result = this.check(node.result);
    this.#locals.length = depth;
    return this.#substitutions.apply(result, false);
  }

  #variables(node: Comprehension, range: CelType): [CelType, CelType] {
    const [first, second] = range.parameters as [CelType, CelType];
    switch (range.kind) {
      case 'list':
        return node.variable2 === undefined ? [first, first] : [intType, first];
      case 'map':
        return [first, second];
      case 'dyn':
      case 'error':
      case 'parameter':
      case 'any':
        this.#substitutions.assignable(dynType, range);
        return [dynType, dynType];
    }
    this.#issues.report(
      node.range.offset,
      `expression of type '${range.text}' cannot be range of a comprehension (must be list, map, or dynamic)`,
    );
    return [errorType, errorType];
  }

  #assert(node: Expression, wanted: CelType): void {
    const type = this.check(node);
    if (!this.#substitutions.assignable(wanted, type)) this.#mismatch(node.offset, wanted, type);
  }

  #join(previous: CelType | undefined, current: CelType): CelType {
    if (previous === undefined) return current;
    if (this.#substitutions.assignable(previous, current)) return mostGeneral(previous, current);
    return dynType;
  }

  #resolve(name: string): { type: CelType; reference: Reference } | undefined {
    const local = name.startsWith('.') ? undefined : this.#local(name);
    if (local !== undefined) return { type: local, reference: { kind: 'local', name } };
    return this.#global(name);
  }

  #local(name: string): CelType | undefined {
    return this.#locals.findLast(each => each.name === name)?.type;
  }

  #global(name: string): { type: CelType; reference: Reference } | undefined {
    for (const candidate of candidateNames(this.#scope.container, name)) {
      const variable = this.#scope.variable(candidate);
      if (variable !== undefined) return { type: variable.type, reference: { kind: 'global', name: candidate } };
      const type = this.#scope.type(candidate);
      if (type !== undefined)
        return { type: typeOf(type), reference: { kind: 'constant', value: new TypeValue(type) } };
      const value = this.#scope.constant(candidate);
      if (value !== undefined) return { type: typeOfValue(value), reference: { kind: 'constant', value } };
    }
    return undefined;
  }

  #typeName(name: string): CelType | undefined {
    for (const candidate of candidateNames(this.#scope.container, name)) {
      const type = this.#scope.type(candidate);
      if (type !== undefined) return type;
    }
    return undefined;
  }

  #function(name: string): CelFunction | undefined {
    for (const candidate of candidateNames(this.#scope.container, name)) {
      const found = this.#scope.function(candidate);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #parameter(): CelType {
    return parameterOf(`_var${this.#parameters++}`);
  }

  #mismatch(offset: number, wanted: CelType, found: CelType): void {
    this.#issues.report(offset, `expected type '${wanted.text}' but found '${found.text}'`);
  }

  #undeclared(offset: number, name: string): void {
    this.#issues.report(offset, `undeclared reference to '${name}' (in container '${this.#scope.container}')`);
  }
}

/** `a.b.c` as text; undefined when the expression is something else. */
export function qualifiedName(node: Expression): string | undefined {
  if (node.kind === 'identifier') return node.name;
  if (node.kind !== 'select' || node.test) return undefined;
  const operand = qualifiedName(node.operand);
  return operand === undefined ? undefined : `${operand}.${node.field}`;
}

function literalType(value: CelValue): CelType {
  switch (typeof value) {
    case 'boolean':
      return boolType;
    case 'string':
      return stringType;
    case 'number':
    case 'bigint':
      return intType;
  }
  if (value === null) return nullType;
  if (value instanceof Uint8Array) return bytesType;
  const type = typeOfValue(value);
  return sameType(type, uintType) ? uintType : doubleType;
}

function signature(types: readonly CelType[], node: Call): string {
  const texts = types.map(({ text }) => text);
  return node.target === undefined ? `(${texts.join(', ')})` : `${texts[0]}.(${texts.slice(1).join(', ')})`;
}
