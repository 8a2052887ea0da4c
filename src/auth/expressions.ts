import type { CelEnvironment, CelEnvironmentOptions } from '#cel/contract.ts';
import {
  adaptDyn,
  declDyn,
  declList,
  declMap,
  declObject,
  declString,
  isPlainObject,
  type DeclField,
  type DeclType,
} from '#cel/declarations.ts';
import { unescapeName } from '#cel/names.ts';
import { CelList, JsonMap, type CelValue, type Result } from '#cel/values.ts';

/** A compiled expression over one variable. */
export interface Expression {
  readonly text: string;
  /** Throws an Error that says why it has no value. */
  evaluate(value: unknown): CelValue;
}

/** `yields` is `bool` where that can be told beforehand; what a claim is, is found out when it is there. */
type Compile = (text: string, yields: 'bool' | 'any') => Expression | { readonly problem: string };

/** Expressions of the configurations of authentication and authorization, by the variable they look at. */
export interface Expressions {
  /** `claims`: those of a token. */
  readonly claims: Compile;
  /** `user`: a UserInfo. */
  readonly user: Compile;
  /** `request`: the spec of a SubjectAccessReview. */
  readonly request: Compile;
}

export function expressionsIn(celEnvironment: (options: CelEnvironmentOptions) => CelEnvironment): Expressions {
  const over = (variable: string, shape: DeclType): Compile => {
    const environment = celEnvironment({ variables: { [variable]: shape } });
    return (text, yields) => {
      const compiled = environment.compile(text);
      if (compiled.issues !== undefined) return { problem: `compilation failed: ${compiled.issues}` };
      if (yields === 'bool' && compiled.outputType.kind !== 'bool') return { problem: 'must evaluate to bool' };
      return {
        text,
        evaluate(value) {
          const { error, value: found } = compiled.evaluate({ [variable]: value });
          if (error) throw new Error(error.message);
          return found;
        },
      };
    };
  };
  return {
    claims: over('claims', claimsType),
    user: over('user', userType),
    request: over('request', reviewType),
  };
}

/** A string, a list of strings, or nothing; empty strings do not count. */
export function stringsOf(value: CelValue): string[] {
  if (value === null || value === '') return [];
  if (typeof value === 'string') return [value];
  if (value instanceof CelList) {
    const items = Array.from({ length: value.size }, (_, index) => value.get(index));
    if (items.every(each => typeof each === 'string')) return items.filter(each => each !== '');
  }
  throw new Error('expression must return a string or a list of strings');
}

/** JSON whose keys are also found by the names that fields have in expressions: `claims.a__dot__b`. */
class ClaimsMap extends JsonMap {
  override find(key: CelValue): Result | undefined {
    const plain = typeof key === 'string' ? unescapeName(key) : undefined;
    return super.find(plain ?? key);
  }
}

function adaptClaim(raw: unknown): Result {
  if (Array.isArray(raw)) return new CelList(raw, adaptClaim);
  return isPlainObject(raw) ? new ClaimsMap(raw, adaptClaim) : adaptDyn(raw);
}

function object(name: string, fields: Readonly<Record<string, DeclType>>): DeclType {
  return declObject(
    name,
    new Map(Object.entries(fields).map(([property, type]): [string, DeclField] => [property, { property, type }])),
  );
}

const text = declString();
const claimsType: DeclType = { ...declMap(declDyn), adapt: adaptClaim };
const strings = declList(text);
const extra = declMap(strings);
const userType = object('kubernetes.UserInfo', { username: text, uid: text, groups: strings, extra });

const requirement = object('kubernetes.SelectorRequirement', { key: text, operator: text, values: strings });
const selector = (name: string) =>
  object(`kubernetes.${name}`, { rawSelector: text, requirements: declList(requirement) });

const reviewType = object('kubernetes.SubjectAccessReviewSpec', {
  resourceAttributes: object('kubernetes.ResourceAttributes', {
    namespace: text,
    verb: text,
    group: text,
    version: text,
    resource: text,
    subresource: text,
    name: text,
    fieldSelector: selector('FieldSelectorAttributes'),
    labelSelector: selector('LabelSelectorAttributes'),
  }),
  nonResourceAttributes: object('kubernetes.NonResourceAttributes', { path: text, verb: text }),
  user: text,
  groups: strings,
  extra,
  uid: text,
});
