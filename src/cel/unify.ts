import { type CelType, dynType, isOptional, listOf, mapOf, opaqueOf, sameType, typeOf } from './types.ts';

/** What type parameters stand for, as far as the checker knows. An attempt that fails leaves no trace. */
export class Substitutions {
  readonly #bound = new Map<string, CelType>();
  /** What to put back when an attempt fails: the binding before each change. */
  readonly #undo: (readonly [name: string, before: CelType | undefined])[] = [];

  find(type: CelType): CelType | undefined {
    return type.kind === 'parameter' ? this.#bound.get(type.name) : undefined;
  }

  bind(parameter: CelType, type: CelType): void {
    this.#undo.push([parameter.name, this.#bound.get(parameter.name)]);
    this.#bound.set(parameter.name, type);
  }

  assignable(left: CelType, right: CelType): boolean {
    return this.#attempt(() => this.#assign(left, right));
  }

  assignableAll(left: readonly CelType[], right: readonly CelType[]): boolean {
    return this.#attempt(() => this.#assignAll(left, right));
  }

  /** The type with all that is known put in; parameters that stand for nothing become dyn if `close`. */
  apply(type: CelType, close: boolean): CelType {
    const bound = this.find(type);
    if (bound !== undefined) return this.apply(bound, close);
    if (type.kind === 'parameter') return close ? dynType : type;
    if (type.parameters.length === 0) return type;
    const parameters = type.parameters.map(each => this.apply(each, close));
    if (parameters.every((each, index) => each === type.parameters[index])) return type;
    return withParameters(type, parameters);
  }

  #attempt(assign: () => boolean): boolean {
    const mark = this.#undo.length;
    if (assign()) {
      this.#undo.length = 0;
      return true;
    }
    while (this.#undo.length > mark) {
      const [name, before] = this.#undo.pop() as readonly [string, CelType | undefined];
      if (before === undefined) this.#bound.delete(name);
      else this.#bound.set(name, before);
    }
    return false;
  }

  #assign(left: CelType, right: CelType): boolean {
    if (right.kind === 'parameter') {
      const known = this.find(right) !== undefined;
      if (this.#substitutes(left, right)) return true;
      if (known) return false;
    }
    if (left.kind === 'parameter') return this.#substitutes(right, left);
    if (isDynOrError(left) || isDynOrError(right)) return true;
    if (left.kind === 'null') return right.kind === 'null' || nullable(right);
    if (right.kind === 'null') return nullable(left);
    switch (left.kind) {
      case 'type':
        return right.kind === 'type';
      case 'list':
      case 'map':
      case 'opaque':
        return (
          left.kind === right.kind && left.name === right.name && this.#assignAll(left.parameters, right.parameters)
        );
      default:
        return sameType(left, right);
    }
  }

  #assignAll(left: readonly CelType[], right: readonly CelType[]): boolean {
    return left.length === right.length && left.every((each, index) => this.#assign(each, right[index] as CelType));
  }

  /** Whether the parameter can stand for the type; binds it. */
  #substitutes(type: CelType, parameter: CelType): boolean {
    if (sameType(type, parameter)) return true;
    const bound = this.find(parameter);
    if (bound === undefined) {
      if (!this.#free(parameter, type)) return false;
      this.bind(parameter, type);
      return true;
    }
    if (sameType(type, bound)) return true;
    if (!this.#assign(type, bound)) return false;
    const general = mostGeneral(type, bound);
    if (this.#free(parameter, general)) this.bind(parameter, general);
    return true;
  }

  /** Whether the parameter does not occur within the type. */
  #free(parameter: CelType, within: CelType): boolean {
    if (sameType(parameter, within)) return false;
    if (within.kind === 'parameter') {
      const bound = this.find(within);
      return bound === undefined || this.#free(parameter, bound);
    }
    return within.parameters.every(each => this.#free(parameter, each));
  }
}

export function isDyn(type: CelType): boolean {
  return type.kind === 'dyn' || type.kind === 'any';
}

export function isDynOrError(type: CelType): boolean {
  return isDyn(type) || type.kind === 'error';
}

export function unwrapOptional(type: CelType): CelType {
  return isOptional(type) ? (type.parameters[0] as CelType) : type;
}

export function mostGeneral(left: CelType, right: CelType): CelType {
  return equalOrLessSpecific(left, right) ? left : right;
}

/** Values of these types can be null for historical reasons. */
function nullable(type: CelType): boolean {
  return ['opaque', 'struct', 'any', 'duration', 'timestamp'].includes(type.kind);
}

function equalOrLessSpecific(left: CelType, right: CelType): boolean {
  if (isDyn(left) || left.kind === 'parameter') return true;
  if (isDyn(right) || right.kind === 'parameter' || left.kind !== right.kind) return false;
  if (left.kind === 'type') return true;
  if (left.parameters.length === 0) return sameType(left, right);
  return (
    left.name === right.name &&
    left.parameters.length === right.parameters.length &&
    left.parameters.every((each, index) => equalOrLessSpecific(each, right.parameters[index] as CelType))
  );
}

function withParameters(type: CelType, parameters: readonly CelType[]): CelType {
  const [first, second] = parameters as [CelType, CelType];
  switch (type.kind) {
    case 'list':
      return listOf(first);
    case 'map':
      return mapOf(first, second);
    case 'type':
      return typeOf(first);
    default:
      return opaqueOf(type.name, ...parameters);
  }
}
