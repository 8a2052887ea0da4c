import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tests } from '@bufbuild/cel-spec/testdata/conformance.js';
import {
  type DeclType,
  declBool,
  declDouble,
  declDyn,
  declInt,
  declList,
  declMap,
  declString,
  declValue,
} from './declarations.ts';
import { celEnvironmentWith } from './environment.ts';
import { global, type Library, method } from './functions.ts';
import { conformanceLibraries } from './libraries/libraries.ts';
import { equal, noSuchOverload } from './operations.ts';
import {
  bytesType,
  type CelType,
  durationType,
  nullType,
  opaqueOf,
  parameterOf,
  timestampType,
  typeOf,
  uintType,
} from './types.ts';
import {
  CelList,
  type CelValue,
  canonicalKey,
  Double,
  EntryMap,
  integerOf,
  TypeValue,
  typeOfValue,
  Uint,
} from './values.ts';

/*
 * The official conformance cases of the language (cel-spec v0.25.1) that need no protocol buffer messages. What is left out,
 * and why, stands in `leftOut`; every other case must pass.
 */

interface Case {
  readonly name: string;
  readonly expr: string;
  readonly container?: string;
  readonly disableCheck?: boolean;
  readonly checkOnly?: boolean;
  readonly typeEnv?: readonly Declaration[];
  readonly bindings?: Readonly<Record<string, { readonly value?: ValueJson }>>;
  readonly value?: ValueJson;
  readonly evalError?: unknown;
  readonly typedResult?: { readonly result?: ValueJson; readonly deducedType?: TypeJson };
}

interface Declaration {
  readonly name: string;
  readonly ident?: { readonly type: TypeJson };
  readonly function?: { readonly overloads: readonly OverloadJson[] };
}

interface OverloadJson {
  readonly overloadId: string;
  readonly params?: readonly TypeJson[];
  readonly resultType: TypeJson;
  readonly isInstanceFunction?: boolean;
}

type TypeJson = Readonly<Record<string, unknown>>;
type ValueJson = Readonly<Record<string, unknown>>;

interface Suite {
  readonly name: string;
  readonly suites?: readonly Suite[];
  readonly tests?: readonly { readonly original: Case }[];
}

/** The first that applies is the reason. A place is `suite/section/case`. */
const leftOut: readonly (readonly [reason: string, applies: (place: string, each: Case) => boolean])[] = [
  [
    'protocol buffer messages, wrappers and enums',
    (place, each) => /^(proto2|proto2_ext|proto3|enums|wrappers|dynamic)\//.test(place) || usesMessages(each),
  ],
  ['cel.block is not in the environment of Kubernetes', place => place.startsWith('block_ext/')],
  ['base64 is not in the environment of Kubernetes', place => place.startsWith('encoders_ext/')],
  ['math is not in the environment of Kubernetes', place => place.startsWith('math_ext/')],
  [
    'an ill-typed expression that is run all the same: Kubernetes checks all',
    (_, each) => each.disableCheck === true && !compiles(each),
  ],
  [
    'the presence test of a field of null is false, as cel-go has it unless it is told otherwise',
    place => /map_null_entry_no_such_key|map_present_key_invalid_field/.test(place),
  ],
  [
    'format strings of version 2, which Kubernetes has, do not take doubles for %d',
    place => /infinity support for decimal|NaN support for decimal/.test(place),
  ],
  ['cel-go v0.29 answers -1', place => /\/(last)?indexof_out_of_range$/.test(place)],
  ['cel-go says null too', place => place.endsWith('/null_assignable_to_abstract_parameter_candidate')],
];

const minimum = 1300;

let passed = 0;
for (const suite of (tests as unknown as Suite).suites ?? []) {
  test(suite.name, () => {
    const failures: string[] = [];
    for (const [place, each] of casesOf(suite, suite.name)) {
      if (leftOut.some(([, applies]) => applies(place, each))) continue;
      try {
        run(each);
        passed++;
      } catch (error) {
        failures.push(`${place}: ${each.expr}: ${(error as Error).message}`);
      }
    }
    assert.deepEqual(failures, []);
  });
}

test(`at least ${minimum} cases were run`, () => {
  assert.ok(passed >= minimum, `${passed} cases`);
});

function* casesOf(suite: Suite, path: string): Generator<[place: string, each: Case]> {
  for (const { original } of suite.tests ?? []) yield [`${path}/${original.name}`, original];
  for (const each of suite.suites ?? []) yield* casesOf(each, `${path}/${each.name}`);
}

function usesMessages(each: Case): boolean {
  return /TestAllTypes|google\.protobuf|GlobalEnum|messageType|wrapper|objectValue|enumValue/.test(
    JSON.stringify(each),
  );
}

function environmentOf(each: Case): ReturnType<typeof celEnvironmentWith> {
  const variables: Record<string, DeclType> = {};
  const functions: [string, ...ReturnType<typeof global>[]][] = [];
  for (const declaration of each.typeEnv ?? []) {
    if (declaration.ident !== undefined) variables[declaration.name] = declOf(declaration.ident.type);
    if (declaration.function !== undefined) {
      functions.push([declaration.name, ...declaration.function.overloads.map(overloadOf)]);
    }
  }
  const options = { variables, container: each.container ?? '', homogeneousLiterals: false, bindings: true };
  return celEnvironmentWith(options, [...conformanceLibraries, functions as Library]);
}

function overloadOf({ overloadId, params, resultType, isInstanceFunction }: OverloadJson): ReturnType<typeof global> {
  const parameters = (params ?? []).map(each => declOf(each).type);
  const make = isInstanceFunction ? method : global;
  return make(overloadId, parameters, declOf(resultType).type, () => noSuchOverload);
}

function compiles(each: Case): boolean {
  return environmentOf(each).compile(each.expr).issues === undefined;
}

function run(each: Case): void {
  const compiled = environmentOf(each).compile(each.expr);
  if (compiled.issues !== undefined) {
    assert.notEqual(each.evalError, undefined, compiled.issues);
    return;
  }
  const deduced = each.typedResult?.deducedType;
  if (deduced !== undefined) assert.equal(compiled.outputType.text, declOf(deduced).type.text);
  if (each.checkOnly) return;
  const bindings: Record<string, unknown> = {};
  for (const [name, { value }] of Object.entries(each.bindings ?? {})) bindings[name] = value && valueOf(value);
  const result = compiled.evaluate(bindings);
  if (each.evalError !== undefined) {
    assert.ok(result.error, `no error but ${shown(result.value)}`);
    return;
  }
  assert.equal(result.error?.message, undefined);
  const json = each.value ?? each.typedResult?.result;
  const wanted = json === undefined ? true : valueOf(json);
  assert.ok(identical(result.value as CelValue, wanted), `${shown(result.value)} and not ${shown(wanted)}`);
}

function identical(left: CelValue, right: CelValue): boolean {
  if (left instanceof Double && right instanceof Double && Number.isNaN(left.value)) return Number.isNaN(right.value);
  return typeOfValue(left).text === typeOfValue(right).text && equal(left, right) === true;
}

function shown(value: unknown): string {
  return JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? `${each}` : each));
}

function valueOf(json: ValueJson): CelValue {
  const [kind, value] = Object.entries(json)[0] as [string, never];
  switch (kind) {
    case 'int64Value':
      return integerOf(BigInt(value));
    case 'uint64Value':
      return new Uint(BigInt(value));
    case 'doubleValue':
      return new Double(Number(value));
    case 'stringValue':
    case 'boolValue':
      return value;
    case 'nullValue':
      return null;
    case 'bytesValue':
      return new Uint8Array(Buffer.from(value, 'base64'));
    case 'typeValue':
      return new TypeValue(typeByName(value));
    case 'listValue':
      return new CelList(((value as { values?: ValueJson[] }).values ?? []).map(valueOf));
    case 'mapValue':
      return mapOfEntries((value as { entries?: { key: ValueJson; value: ValueJson }[] }).entries ?? []);
  }
  throw new Error(`cannot read value: kind ${kind}`);
}

function mapOfEntries(entries: readonly { key: ValueJson; value: ValueJson }[]): EntryMap {
  const map = new EntryMap();
  for (const { key, value } of entries) {
    const name = valueOf(key);
    map.entries.set(canonicalKey(name) as string, [name, valueOf(value)]);
  }
  return map;
}

function typeByName(name: string): CelType {
  const compiled = celEnvironmentWith({}, []).compile(name);
  assert.equal(compiled.issues, undefined);
  return ((compiled as Exclude<typeof compiled, { issues: string }>).evaluate({}).value as TypeValue).type;
}

const primitives: Readonly<Record<string, DeclType>> = {
  BOOL: declBool,
  INT64: declInt,
  UINT64: declValue(uintType),
  DOUBLE: declDouble,
  STRING: declString(),
  BYTES: declValue(bytesType),
};

function declOf(type: TypeJson): DeclType {
  const [kind, value] = Object.entries(type)[0] as [string, never];
  switch (kind) {
    case 'dyn':
      return declDyn;
    case 'null':
      return declValue(nullType);
    case 'primitive':
      return primitives[value] as DeclType;
    case 'wellKnown':
      return declValue(value === 'TIMESTAMP' ? timestampType : durationType);
    case 'typeParam':
      return declValue(parameterOf(value));
    case 'listType':
      return declValue(declList(declOf((value as { elemType: TypeJson }).elemType)).type);
    case 'mapType': {
      const { keyType, valueType } = value as { keyType: TypeJson; valueType: TypeJson };
      return declValue(declMap(declOf(valueType), 0, declOf(keyType)).type);
    }
    case 'type':
      return declValue(Object.keys(value as object).length === 0 ? typeOf() : typeOf(declOf(value).type));
    case 'abstractType': {
      const { name, parameterTypes } = value as { name: string; parameterTypes: TypeJson[] };
      return declValue(opaqueOf(name, ...parameterTypes.map(each => declOf(each).type)));
    }
  }
  throw new Error(`cannot read type: kind ${kind}`);
}
