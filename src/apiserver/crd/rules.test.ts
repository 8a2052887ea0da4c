import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, test } from 'node:test';
import { type Answer, openTestServer, type TestServer } from '../test-server.ts';

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const things = '/apis/example.com/v1/namespaces/default/things';

function definition(spec: object, root: object = {}) {
  const schema = { openAPIV3Schema: { type: 'object', properties: { spec }, ...root } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'things.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'things', kind: 'Thing' },
      versions: [{ name: 'v1', served: true, storage: true, schema }],
    },
  };
}

async function define(server: TestServer, spec: object, root: object = {}): Promise<void> {
  const made = await server.call('POST', definitions, definition(spec, root));
  assert.equal(made.code, 201, made.text);
  await until(server, things, ({ code }) => code === 200);
}

async function until(server: TestServer, path: string, wanted: (answer: Answer) => boolean): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    if (wanted(await server.call('GET', path))) return;
    await turn();
  }
  throw new Error(`cannot see what is wanted at ${path}`);
}

const thing = (name: string, spec: object, metadata: object = {}) => ({
  apiVersion: 'example.com/v1',
  kind: 'Thing',
  metadata: { name, ...metadata },
  spec,
});

/** The causes of a refusal, as `field: message`. */
function causes({ body }: Answer): string[] {
  return (body.details?.causes ?? []).map(
    ({ field, message }: { field: string; message: string }) => `${field}: ${message}`,
  );
}

const rule = (text: string, more: object = {}) => ({ rule: text, ...more });
const rules = (...all: object[]) => ({ 'x-kubernetes-validations': all });
const integer = { type: 'integer' };
const string = { type: 'string' };

describe('rules of a definition', () => {
  test("are compiled when it is made, and refused in upstream's words", async () => {
    await using server = await openTestServer();
    const refused = await server.call(
      'POST',
      definitions,
      definition({
        type: 'object',
        properties: { n: integer, s: { ...string, ...rules(rule('self.matches("a"'), rule("self + 'x'")) } },
        ...rules(
          rule('self.n > nothing'),
          rule('self.n > 1', { messageExpression: 'self.n' }),
          rule('self.n > 1', { fieldPath: '.m' }),
        ),
      }),
    );
    assert.equal(refused.code, 422);
    // Where the schema itself is wrong, as a path that leads nowhere is, expressions of that place are not looked at.
    const place = 'spec.validation.openAPIV3Schema.properties[spec]';
    const [path, syntax, type, ...more] = causes(refused);
    assert.equal(path, `${place}.x-kubernetes-validations[2].fieldPath: Invalid value: ".m": must be a valid path`);
    assert.match(
      syntax ?? '',
      /^spec\.validation\.openAPIV3Schema\.properties\[spec\]\.properties\[s\]\.x-kubernetes-validations\[0\]\.rule: Invalid value: \{"Rule":"self\.matches\(\\"a\\"","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null\}: compilation failed: ERROR: <input>:1:17: Syntax error: /,
    );
    assert.match(type ?? '', /\[s\]\.x-kubernetes-validations\[1\]\.rule: .*: cel expression must evaluate to a bool$/);
    assert.deepEqual(more, []);
    const types = await server.call(
      'POST',
      definitions,
      definition({
        type: 'object',
        properties: { n: integer, list: { type: 'array', items: { ...integer, ...rules(rule('self >= oldSelf')) } } },
        ...rules(
          rule('self.n > nothing'),
          rule('self.n > 1', { messageExpression: 'self.n' }),
          rule('self.n > 1', { optionalOldSelf: true }),
        ),
      }),
    );
    const found = causes(types).map(each => each.replace(/Invalid value: \{"Rule".*?\}: /, ''));
    assert.deepEqual(found, [
      `${place}.properties[list].items.x-kubernetes-validations[0].rule: Invalid value: "self >= oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within ${place}.properties[list]`,

      `${place}.x-kubernetes-validations[0].rule: compilation failed: ERROR: <input>:1:10: undeclared reference to 'nothing' (in container '')\n | self.n > nothing\n | .........^`,
      `${place}.x-kubernetes-validations[1].messageExpression: messageExpression must evaluate to a string`,
      `${place}.x-kubernetes-validations[2].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule`,
    ]);
  });

  test('that could cost too much are refused with what they are estimated to cost', async () => {
    await using server = await openTestServer();
    const list = { type: 'array', items: string };
    const refused = await server.call(
      'POST',
      definitions,
      definition({
        type: 'object',
        properties: { list: { ...list, ...rules(rule('self.all(x, self.all(y, x == y))')) } },
      }),
    );
    const remedy =
      '(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)';
    const place = 'spec.validation.openAPIV3Schema.properties[spec].properties[list].x-kubernetes-validations[0].rule';
    assert.deepEqual(causes(refused), [
      `${place}: Forbidden: estimated rule cost exceeds budget by factor of more than 100x ${remedy}`,
      `${place}: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema`,
      `spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x ${remedy}`,
    ]);
    const bounded = { ...list, maxItems: 10, items: { ...string, maxLength: 10 } };
    await define(server, {
      type: 'object',
      properties: { list: { ...bounded, ...rules(rule('self.all(x, self.all(y, x == y))')) } },
    });
  });

  test('hold for defaults, which know nothing that the schema does not', async () => {
    await using server = await openTestServer();
    const refused = await server.call(
      'POST',
      definitions,
      definition({
        type: 'object',
        properties: {
          n: { ...integer, default: 0, ...rules(rule('self > 0', { message: 'must be positive' })) },
          o: { type: 'object', properties: { a: string }, default: { b: 1 } },
          s: { ...string, maxLength: 2, default: 'abc' },
          t: { ...string, default: 1 },
        },
      }),
    );
    const place = 'spec.validation.openAPIV3Schema.properties[spec]';
    assert.deepEqual(causes(refused), [
      `${place}.properties[n].default: Invalid value: 0: must be positive`,
      `${place}.properties[o].default: Invalid value: {"b":1}: must not have unknown fields`,
      `${place}.properties[s].default: Too long: may not be more than 2 bytes`,
      `${place}.properties[t].default: Invalid value: "integer":  in body must be of type string: "integer"`,
    ]);
  });

  test('judge objects: where they say, as what they say, with the words they make', async () => {
    await using server = await openTestServer();
    await define(
      server,
      {
        type: 'object',
        properties: {
          min: integer,
          max: integer,
          name: { ...string, maxLength: 20, ...rules(rule("self != 'bad'", { reason: 'FieldValueForbidden' })) },
          ports: {
            type: 'array',
            maxItems: 5,
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['id'],
            items: {
              type: 'object',
              required: ['id'],
              properties: { id: string, port: integer },
              ...rules(rule('self.port < 100'), rule('self.port >= oldSelf.port', { message: 'ports only grow' })),
            },
          },
          map: { type: 'object', maxProperties: 5, additionalProperties: { ...integer, ...rules(rule('self < 10')) } },
        },
        ...rules(
          rule('self.min <= self.max', {
            fieldPath: '.max',
            messageExpression: "self.max < 10 ? 'max is small' : 'max is large'",
          }),
          rule('self.max % self.min == 0', { message: 'not a multiple' }),
        ),
      },
      rules(
        rule("self.metadata.name.startsWith('t')", { message: 'names begin with t', reason: 'FieldValueRequired' }),
      ),
    );
    const make = async (name: string, spec: object) => causes(await server.call('POST', things, thing(name, spec)));
    const fine = { min: 1, max: 2 };
    assert.deepEqual(await make('t', fine), []);
    assert.deepEqual(await make('x', fine), ['<nil>: Required value: names begin with t']);
    assert.deepEqual(await make('u', { min: 3, max: 2 }), [
      '<nil>: Required value: names begin with t',
      'spec.max: Invalid value: max is small',
      'spec: Invalid value: not a multiple',
    ]);
    assert.deepEqual(await make('t2', { min: 0, max: 2 }), [
      'spec: Invalid value: "object": modulus by zero evaluating rule: not a multiple',
    ]);
    assert.deepEqual(await make('t2', { max: 2 }), [
      'spec: Invalid value: "object": no such key: min evaluating rule: self.min <= self.max',
      'spec: Invalid value: "object": no such key: min evaluating rule: not a multiple',
    ]);
    assert.deepEqual(await make('t2', { ...fine, name: 'bad' }), ["spec.name: Forbidden: failed rule: self != 'bad'"]);
    assert.deepEqual(await make('t2', { ...fine, map: { a: 1, b: 11 } }), [
      'spec.map[b]: Invalid value: 11: failed rule: self < 10',
    ]);
    assert.deepEqual(await make('t2', { ...fine, ports: [{ id: 'a', port: 200 }], name: 1 }), [
      'spec.name: Invalid value: "integer": spec.name in body must be of type string: "integer"',
      '<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
    ]);
    const made = await server.call(
      'POST',
      things,
      thing('t3', {
        ...fine,
        ports: [
          { id: 'a', port: 5 },
          { id: 'b', port: 6 },
        ],
      }),
    );
    const swapped = {
      ...made.body,
      spec: {
        ...fine,
        ports: [
          { id: 'b', port: 6 },
          { id: 'a', port: 4 },
          { id: 'c', port: 1 },
        ],
      },
    };
    assert.deepEqual(causes(await server.call('PUT', `${things}/t3`, swapped)), [
      'spec.ports[1]: Invalid value: ports only grow',
    ]);
  });

  test('of old do not stand in the way of what did not change', async () => {
    await using server = await openTestServer();
    const schema = (...all: object[]) => ({
      type: 'object',
      properties: {
        a: { ...integer, ...rules(...all) },
        b: integer,
        first: {
          ...integer,
          ...rules(
            rule('!oldSelf.hasValue() || self >= oldSelf.value()', { optionalOldSelf: true, message: 'only up' }),
            rule('oldSelf.hasValue() || self == 1', { optionalOldSelf: true, message: 'begins at 1' }),
          ),
        },
      },
    });
    await define(server, schema());
    const made = await server.call('POST', things, thing('t', { a: 5, b: 1, first: 1 }));
    assert.equal(made.code, 201, made.text);
    assert.deepEqual(causes(await server.call('POST', things, thing('u', { first: 2 }))), [
      'spec.first: Invalid value: 2: begins at 1',
    ]);
    const { metadata } = (await server.call('GET', `${definitions}/things.example.com`)).body;
    const changed = await server.call('PUT', `${definitions}/things.example.com`, {
      ...definition(schema(rule('self < 5'))),
      metadata,
    });
    assert.equal(changed.code, 200, changed.text);
    for (let wait = 0; wait < 50; wait++) await turn();
    const live = (await server.call('GET', `${things}/t`)).body;
    const unchanged = await server.call('PUT', `${things}/t`, { ...live, spec: { a: 5, b: 2, first: 2 } });
    assert.equal(unchanged.code, 200, unchanged.text);
    assert.match(String(unchanged.headers['warning']), /299 - "spec\.a: Invalid value: 5: failed rule: self < 5"/);
    const again = await server.call('PUT', `${things}/t`, { ...unchanged.body, spec: { a: 6, b: 2, first: 1 } });
    assert.deepEqual(causes(again), [
      'spec.a: Invalid value: 6: failed rule: self < 5',
      'spec.first: Invalid value: 1: only up',
    ]);
  });
});
