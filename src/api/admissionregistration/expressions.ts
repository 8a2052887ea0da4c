import { authorizerType, resourceCheckType } from '#cel/authorizer.ts';
import type { CelEnvironment, Compiled } from '#cel/contract.ts';
import {
  declBool,
  declDyn,
  declInt,
  declList,
  declMap,
  declObject,
  declString,
  declValue,
  scalar,
  type DeclField,
  type DeclType,
} from '#cel/declarations.ts';
import { celEnvironment } from '#cel/environment.ts';
import { boolType, type CelType, listOf, nullType, sameType, stringType, structOf, timestampType } from '#cel/types.ts';
import type { Result } from '#cel/values.ts';

/** What the expressions of admission may name beside `object`, `oldObject`, `request` and `namespaceObject`. */
export interface ExpressionScope {
  readonly params: boolean;
  readonly authorizer: boolean;
  /** The types that mutations construct: `Object{…}`, `JSONPatch{…}`. */
  readonly patches?: boolean;
}

/** An expression that is ready to run, or upstream's words for why it is not. */
export type AdmissionExpression =
  | { readonly text: string; readonly compiled: Compiled; readonly error: undefined }
  | { readonly text: string; readonly compiled: undefined; readonly error: string };

export const anything: readonly CelType[] = [];
export const aCondition: readonly CelType[] = [boolType];
export const aMessage: readonly CelType[] = [stringType];
export const anAnnotation: readonly CelType[] = [stringType, nullType];
export const aConfiguration: readonly CelType[] = [structOf('Object')];
export const patchOperations: readonly CelType[] = [listOf(structOf('JSONPatch'))];

/** Compiles expressions of one policy. What `variables` holds grows with every variable that is declared. */
export class ExpressionCompiler {
  readonly #variables = new Map<string, DeclField>();
  #typed: TypedVariables = {};
  #environments = new Map<string, CelEnvironment>();

  /** `typed` are the shapes of objects where they are known; without them everything goes. */
  constructor(typed: TypedVariables = {}) {
    this.#typed = typed;
  }

  /** `types` are what it may come to; none: anything. */
  compile(text: string, types: readonly CelType[], scope: ExpressionScope): AdmissionExpression {
    const result = this.#environment(scope).compile(text);
    if (result.issues !== undefined)
      return { text, compiled: undefined, error: `compilation failed: ${result.issues}` };
    if (types.length > 0 && !types.some(type => sameType(type, result.outputType)))
      return { text, compiled: undefined, error: unfit(types, result.outputType) };
    return { text, compiled: result, error: undefined };
  }

  /** What is wrong with an expression whose result may be anything, as the checker says it. */
  issuesOf(text: string, scope: ExpressionScope): string | undefined {
    return this.#environment(scope).compile(text).issues;
  }

  declare(name: string, text: string, scope: ExpressionScope): AdmissionExpression {
    const variable = this.compile(text, anything, scope);
    this.#variables.set(name, { property: name, type: declared(variable.compiled?.outputType) });
    this.#environments = new Map();
    return variable;
  }

  #environment(scope: ExpressionScope): CelEnvironment {
    const name = nameOf(scope);
    let environment = this.#environments.get(name);
    if (!environment) {
      environment = this.#extended(scope);
      this.#environments.set(name, environment);
    }
    return environment;
  }

  #extended(scope: ExpressionScope): CelEnvironment {
    const { object, params } = this.#typed;
    const variables = {
      ...(object && { object, oldObject: object }),
      ...(params && { params }),
      variables: variablesOf(this.#variables),
    };
    return baseOf(scope).extend({ variables });
  }
}

/** Shapes for what is else without type. */
interface TypedVariables {
  readonly object?: DeclType;
  readonly params?: DeclType;
}

/** For expressions that know no variables. */
export function compileAlone(text: string, types: readonly CelType[], scope: ExpressionScope): AdmissionExpression {
  const result = baseOf(scope).compile(text);
  if (result.issues !== undefined) return { text, compiled: undefined, error: `compilation failed: ${result.issues}` };
  if (types.length > 0 && !types.some(type => sameType(type, result.outputType)))
    return { text, compiled: undefined, error: unfit(types, result.outputType) };
  return { text, compiled: result, error: undefined };
}

function unfit(types: readonly CelType[], found: CelType): string {
  const wanted =
    types.length === 1 ? goType(types[0] as CelType) : `one of [${types.map(type => goType(type)).join(' ')}]`;
  return `must evaluate to ${wanted} but got ${goType(found)}`;
}

/** As Go prints a type. */
function goType({ name, parameters }: CelType): string {
  return parameters.length === 0 ? name : `${name}(${parameters.map(goType).join(', ')})`;
}

const bases = new Map<string, CelEnvironment>();

function nameOf({ params, authorizer, patches = false }: ExpressionScope): string {
  return `${params}${authorizer}${patches}`;
}

/** Made once: there are eight. */
function baseOf(scope: ExpressionScope): CelEnvironment {
  const name = nameOf(scope);
  let base = bases.get(name);
  if (!base) {
    base = celEnvironment({
      variables: {
        object: declDyn,
        oldObject: declDyn,
        namespaceObject: namespaceDecl,
        request: requestDecl,
        ...(scope.params && { params: declDyn }),
        ...(scope.authorizer && {
          authorizer: declValue(authorizerType),
          'authorizer.requestResource': declValue(resourceCheckType),
        }),
      },
      ...(scope.patches === true && { types: [objectDecl, jsonPatchDecl] }),
    });
    bases.set(name, base);
  }
  return base;
}

const objectDecl = declObject('Object', new Map(), 2, true);
const jsonPatchDecl = declObject(
  'JSONPatch',
  fieldsOf({ op: declString(), path: declString(), from: declString(), value: declDyn }),
);

/** The value of a variable is one of the language already. */
function declared(type: CelType | undefined): DeclType {
  if (!type) return declValue(declDyn.type);
  switch (type.kind) {
    case 'list':
    case 'map':
    case 'bool':
    case 'int':
    case 'uint':
    case 'double':
    case 'string':
    case 'bytes':
    case 'duration':
    case 'timestamp':
    case 'null':
      return declValue(type);
    default:
      return declValue(declDyn.type);
  }
}

/** Bound to something that works them out when they are asked for. */
function variablesOf(fields: ReadonlyMap<string, DeclField>): DeclType {
  return { ...declObject('kubernetes.variables', fields), adapt: raw => raw as Result };
}

function fieldsOf(fields: Readonly<Record<string, DeclType>>): ReadonlyMap<string, DeclField> {
  return new Map(Object.entries(fields).map(([property, type]) => [property, { property, type }]));
}

function objectOf(name: string, fields: Readonly<Record<string, DeclType>>): DeclType {
  return declObject(`kubernetes.${name}`, fieldsOf(fields));
}

const texts = declList(declString());
const textMap = declMap(declString());
/** Upstream declares a timestamp and binds the text. */
const time = scalar(timestampType, raw => raw as Result, 2);
const groupVersionKind = objectOf('GroupVersionKind', {
  group: declString(),
  version: declString(),
  kind: declString(),
});
const groupVersionResource = objectOf('GroupVersionResource', {
  group: declString(),
  version: declString(),
  resource: declString(),
});

/** admission.k8s.io/v1 AdmissionRequest, without uid and objects. */
const requestDecl = objectOf('AdmissionRequest', {
  kind: groupVersionKind,
  resource: groupVersionResource,
  subResource: declString(),
  requestKind: groupVersionKind,
  requestResource: groupVersionResource,
  requestSubResource: declString(),
  name: declString(),
  namespace: declString(),
  operation: declString(),
  userInfo: objectOf('UserInfo', {
    username: declString(),
    uid: declString(),
    groups: texts,
    extra: declMap(texts),
  }),
  dryRun: declBool,
  options: declDyn,
});

/** Some fields of a Namespace are left out on purpose. */
const namespaceDecl = objectOf('Namespace', {
  metadata: objectOf('NamespaceMetadata', {
    name: declString(),
    generateName: declString(),
    namespace: declString(),
    labels: textMap,
    annotations: textMap,
    UID: declString(),
    creationTimestamp: time,
    deletionGracePeriodSeconds: declInt,
    deletionTimestamp: time,
    generation: declInt,
    resourceVersion: declString(),
    finalizers: texts,
  }),
  spec: objectOf('NamespaceSpec', { finalizers: texts }),
  status: objectOf('NamespaceStatus', {
    conditions: declList(
      objectOf('NamespaceCondition', {
        status: declString(),
        type: declString(),
        lastTransitionTime: time,
        message: declString(),
        reason: declString(),
      }),
    ),
    phase: declString(),
  }),
});
