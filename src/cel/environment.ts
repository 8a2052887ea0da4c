import { PendingDecision } from './authorizer.ts';
import { check, type Scope } from './checker.ts';
import type {
  Bindings,
  CelEnvironment,
  CelEnvironmentOptions,
  Compiled,
  CostRange,
  EvaluateOptions,
  Evaluation,
  Uncompiled,
} from './contract.ts';
import { estimateCost } from './cost.ts';
import { type DeclType, fieldOf } from './declarations.ts';
import { type Expression, visit } from './ast.ts';
import { type CelFunction, functionTable, type Library } from './functions.ts';
import { Issues } from './issues.ts';
import { kubernetesLibraries } from './libraries/libraries.ts';
import { perCallLimit } from './limits.ts';
import { bindingMacros, kubernetesMacros } from './macros.ts';
import { parse } from './parser.ts';
import { Frame, type PlanScope, plan, type Program } from './planner.ts';
import {
  boolType,
  bytesType,
  type CelType,
  doubleType,
  durationType,
  dynType,
  intType,
  listOf,
  mapOf,
  nullType,
  opaqueOf,
  optionalOf,
  stringType,
  structOf,
  timestampType,
  typeOf,
  uintType,
} from './types.ts';
import { unwrapOptional } from './unify.ts';
import { CelError, type CelValue, CostExceeded, type Result } from './values.ts';
import { startWork } from './work.ts';
import { validate } from './validators.ts';

/** The language as Kubernetes v1.36 has it, with the given variables. */
export function celEnvironment(options: CelEnvironmentOptions = {}): CelEnvironment {
  return new Environment(options, kubernetesFunctions());
}

/** The same language with other libraries; for the official conformance cases. */
export function celEnvironmentWith(options: CelEnvironmentOptions, libraries: readonly Library[]): CelEnvironment {
  return new Environment(options, functionTable(libraries));
}

let functions: ReadonlyMap<string, CelFunction> | undefined;

function kubernetesFunctions(): ReadonlyMap<string, CelFunction> {
  return (functions ??= functionTable(kubernetesLibraries));
}

const builtinTypes: ReadonlyMap<string, CelType> = new Map([
  ['bool', boolType],
  ['bytes', bytesType],
  ['double', doubleType],
  ['google.protobuf.Duration', durationType],
  ['int', intType],
  ['list', listOf(dynType)],
  ['map', mapOf(dynType, dynType)],
  ['null_type', nullType],
  ['string', stringType],
  ['google.protobuf.Timestamp', timestampType],
  ['type', typeOf()],
  ['uint', uintType],
  ['optional_type', optionalOf(dynType)],
  ['net.IP', opaqueOf('net.IP')],
  ['net.CIDR', opaqueOf('net.CIDR')],
]);

class Environment implements CelEnvironment, Scope, PlanScope {
  readonly container: string;
  readonly homogeneousLiterals: boolean;
  readonly #options: CelEnvironmentOptions;
  readonly #functions: ReadonlyMap<string, CelFunction>;
  readonly #variables: ReadonlyMap<string, DeclType>;
  readonly #objects: ReadonlyMap<string, DeclType>;

  constructor(options: CelEnvironmentOptions, table: ReadonlyMap<string, CelFunction>) {
    this.#options = options;
    this.#functions = table;
    this.container = options.container ?? '';
    this.homogeneousLiterals = options.homogeneousLiterals ?? true;
    this.#variables = new Map(Object.entries(options.variables ?? {}));
    this.#objects = objectTypes([...this.#variables.values(), ...(options.types ?? [])]);
  }

  extend(more: CelEnvironmentOptions): CelEnvironment {
    const { variables, types, ...rest } = this.#options;
    const merged = {
      ...rest,
      ...more,
      variables: { ...variables, ...more.variables },
      types: [...(types ?? []), ...(more.types ?? [])],
    };
    return new Environment(merged, this.#functions);
  }

  compile(text: string): Compiled | Uncompiled {
    startWork();
    const issues = new Issues(text);
    const expression = parse(text, this.#options.bindings ? bindingMacros : kubernetesMacros, issues);
    if (expression === undefined) return { issues: issues.toString() };
    check(expression, this, issues);
    if (issues.count === 0) validate(expression, this, issues);
    return issues.count > 0 ? { issues: issues.toString() } : new CompiledExpression(text, expression, this);
  }

  function(name: string): CelFunction | undefined {
    return this.#functions.get(name);
  }

  variable(name: string): DeclType | undefined {
    return this.#variables.get(name);
  }

  get variables(): ReadonlyMap<string, DeclType> {
    return this.#variables;
  }

  type(name: string): CelType | undefined {
    const builtin = builtinTypes.get(name);
    if (builtin !== undefined) return builtin;
    return this.#object(name) === undefined ? undefined : structOf(name);
  }

  constant(_name: string): CelValue | undefined {
    return undefined;
  }

  field(object: CelType, name: string): CelType | undefined {
    const decl = this.#object(object.name);
    const field = decl && fieldOf(decl, name);
    if (field !== undefined) return field.type.type;
    return decl?.open ? dynType : undefined;
  }

  isObject(name: string): boolean {
    return this.#object(name) !== undefined;
  }

  /** `Object.spec.template` is known where `Object` is open. */
  #object(name: string): DeclType | undefined {
    const known = this.#objects.get(name);
    if (known !== undefined) return known;
    const dot = name.indexOf('.');
    const root = dot < 0 ? undefined : this.#objects.get(name.slice(0, dot));
    return root?.open ? root : undefined;
  }
}

/** All object types that the declarations are made of, by name. */
function objectTypes(declarations: readonly DeclType[]): ReadonlyMap<string, DeclType> {
  const objects = new Map<string, DeclType>();
  const add = (decl: DeclType): void => {
    if (decl.element !== undefined) add(decl.element);
    if (decl.fields === undefined) return;
    const name = unwrapOptional(decl.type).name;
    if (objects.has(name)) return;
    objects.set(name, decl);
    for (const field of decl.fields.values()) add(field.type);
  };
  for (const each of declarations) add(each);
  return objects;
}

/** How often an evaluation starts again because an authorizer answers later. */
const restartsMax = 64;

class CompiledExpression implements Compiled {
  readonly issues: undefined;
  readonly text: string;
  readonly outputType: CelType;
  readonly references: ReadonlySet<string>;
  readonly #expression: Expression;
  readonly #environment: Environment;
  #program: Program | CelError | undefined;
  #declarations: readonly DeclType[] = [];

  constructor(text: string, expression: Expression, environment: Environment) {
    this.text = text;
    this.outputType = expression.type as CelType;
    this.#expression = expression;
    this.#environment = environment;
    this.references = referencesOf(expression);
  }

  get instantiationError(): string | undefined {
    const program = this.#planned();
    return program instanceof CelError ? program.message : undefined;
  }

  estimateCost(): CostRange {
    return estimateCost(this.#expression, this.#environment.variables);
  }

  evaluate(bindings: Bindings, options?: EvaluateOptions): Evaluation {
    try {
      return this.#run(bindings, options?.costLimit ?? perCallLimit);
    } catch (error) {
      if (!(error instanceof PendingDecision)) throw error;
      return {
        error: new CelError('the authorizer answers later, which only evaluateAsync can wait for'),
        value: undefined,
        cost: 0,
      };
    }
  }

  async evaluateAsync(bindings: Bindings, options?: EvaluateOptions): Promise<Evaluation> {
    for (let start = 0; start < restartsMax; start++) {
      try {
        return this.#run(bindings, options?.costLimit ?? perCallLimit);
      } catch (error) {
        if (!(error instanceof PendingDecision)) throw error;
        await error.settled;
      }
    }
    return { error: new CelError('too many authorization checks in one expression'), value: undefined, cost: 0 };
  }

  #run(bindings: Bindings, costLimit: number): Evaluation {
    const program = this.#planned();
    if (program instanceof CelError) return { error: program, value: undefined, cost: 0 };
    const { globals } = program;
    const values: Result[] = [];
    for (let index = 0; index < globals.length; index++) {
      values.push(boundValue(bindings, globals[index] as string, this.#declarations[index] as DeclType));
    }
    const frame = new Frame(values, costLimit);
    startWork();
    let result: Result;
    try {
      result = program.step(frame);
    } catch (error) {
      if (!(error instanceof CostExceeded)) throw error;
      return { error: costExceeded, value: undefined, cost: frame.cost };
    } finally {
      startWork();
    }
    const { cost } = frame;
    if (cost > costLimit) return { error: costExceeded, value: undefined, cost };
    return result instanceof CelError
      ? { error: result, value: undefined, cost }
      : { error: undefined, value: result, cost };
  }

  #planned(): Program | CelError {
    if (this.#program !== undefined) return this.#program;
    const program = plan(this.#expression, this.#environment);
    if (!(program instanceof CelError)) {
      this.#declarations = program.globals.map(name => this.#environment.variable(name) as DeclType);
    }
    this.#program = program;
    return program;
  }
}

const costExceeded = new CelError('operation cancelled: actual cost limit exceeded', true);

function boundValue(bindings: Bindings, name: string, decl: DeclType): Result {
  const bound = bindings[name];
  if (bound === undefined && !Object.hasOwn(bindings, name)) return new CelError(`no such attribute(s): ${name}`);
  return bound instanceof CelError ? bound : decl.adapt(bound);
}

function referencesOf(expression: Expression): ReadonlySet<string> {
  const names = new Set<string>();
  visit(expression, node => {
    const reference = node.kind === 'identifier' || node.kind === 'select' ? node.reference : undefined;
    if (reference?.kind === 'global') names.add(reference.name);
  });
  return names;
}
