/** What is wrong with a request, in upstream's codes and words. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Answer, openTestServer } from './test-server.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const map = (name: string, metadata: object = {}) => ({ metadata: { name, ...metadata }, data: { a: '1' } });

function refused(answer: Answer, code: number, message: string): void {
  assert.equal(answer.body?.message ?? answer.text, message);
  assert.equal(answer.code, code);
}

describe('bodies', () => {
  test('that do not say what they are', async () => {
    await using server = await openTestServer();
    const unreadable = "couldn't get version/kind; json parse error: json: cannot unmarshal";
    const either = String.raw`struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }`;
    const cases = [
      ['{', "couldn't get version/kind; json parse error: unexpected end of JSON input ({)"],
      ['[]', `${unreadable} array into Go value of type ${either} (5b5d)`],
      ['true', `${unreadable} bool into Go value of type ${either} (74727565)`],
      ['{"kind":7}', `${unreadable} number into Go struct field .kind of type string ({"kind":7})`],
      ['{"apiVersion":"a/b/c"}', 'unexpected GroupVersion string: a/b/c ({"apiVersion":"a/b/c"})'],
    ] as const;
    for (const [body, why] of cases) {
      const message = `the object provided is unrecognized (must be of type ConfigMap): ${why}`;
      refused(await server.call('POST', maps, body), 400, message);
    }
    const yaml = { 'content-type': 'application/yaml' };
    const answer = await server.call('POST', maps, 'a: b: c', yaml);
    assert.match(answer.body.message, /^the object provided .* \(must be of type ConfigMap\): yaml: line 1: .* \(613a/);
  });

  test('nothing at all is an empty object', async () => {
    await using server = await openTestServer();
    const message = 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required';
    for (const body of ['null', '{}']) refused(await server.call('POST', maps, body), 422, message);
  });

  test('of another kind or version', async () => {
    await using server = await openTestServer();
    const scheme = 'in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"';
    const cases = [
      ['v1', 'Pod', 'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap)'],
      [
        'apps/v1',
        'DeploymentList',
        'DeploymentList in version "v1" cannot be handled as a ConfigMap: converting (v1.DeploymentList) to (core.ConfigMap)',
      ],
    ] as const;
    for (const [apiVersion, kind, message] of cases)
      refused(await server.call('POST', maps, { apiVersion, kind }), 400, `${message}: unknown conversion`);
    refused(
      await server.call('POST', maps, { apiVersion: 'v2' }),
      400,
      `ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2" ${scheme}`,
    );
    refused(
      await server.call('POST', '/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers', {
        apiVersion: 'autoscaling/v1',
        kind: 'HorizontalPodAutoscaler',
      }),
      400,
      'the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)',
    );
  });
});

describe('options', () => {
  test('of writes', async () => {
    await using server = await openTestServer();
    const invalid = 'CreateOptions.meta.k8s.io "" is invalid';
    const cases = [
      ['dryRun=Some', 'dryRun: Unsupported value: ["Some"]: supported values: "All"'],
      ['dryRun=', 'dryRun: Unsupported value: [""]: supported values: "All"'],
      [
        'fieldValidation=Bad',
        'fieldValidation: Unsupported value: "Bad": supported values: "", "Ignore", "Strict", "Warn"',
      ],
      [`fieldManager=${'x'.repeat(129)}`, 'fieldManager: Too long: may not be more than 128 bytes'],
      ['fieldManager=a%07', 'fieldManager: Invalid value: "a\\u0007": invalid character U+0007 (at position 1)'],
    ] as const;
    for (const [query, why] of cases)
      refused(await server.call('POST', `${maps}?${query}`, map('a')), 422, `${invalid}: ${why}`);
    assert.equal((await server.call('GET', `${maps}/a`)).code, 404);
  });

  test('of lists and watches', async () => {
    await using server = await openTestServer();
    for (const name of ['limit', 'timeoutSeconds', 'timeoutSeconds=5&limit', 'watch=1&timeoutSeconds']) {
      const message = 'strconv.ParseInt: parsing "soon": invalid syntax';
      refused(await server.call('GET', `${maps}?${name}=soon`), 400, message);
    }
    const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
    refused(
      await server.call('GET', `${maps}?includeObject=All`, undefined, table),
      400,
      `Unable to convert to Table as requested: includeObject: Invalid value: "All": must be 'Metadata', 'Object', 'None', or empty`,
    );
    assert.doesNotMatch((await server.call('GET', `${maps}?pretty=maybe`)).text, /\n /);
    assert.match((await server.call('GET', `${maps}?pretty=t`)).text, /\n /);
  });

  test('continue tokens', async () => {
    await using server = await openTestServer();
    const token = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const v = 'meta.k8s.io/v1';
    const cases = [
      [token({ v: 'v2', rv: 1, start: 'a' }), 'server does not recognize this encoded version v2'],
      [token({ v, rv: 0, start: 'a' }), 'incorrect encoded start resourceVersion (version meta.k8s.io/v1)'],
      [token({ v, rv: 1, start: '' }), 'encoded start key empty (version meta.k8s.io/v1)'],
      [token({ v, rv: 1, start: '../secrets' }), '../secrets'],
    ] as const;
    for (const [text, why] of cases) {
      const message = `invalid continue token: continue key is not valid: ${why}`;
      refused(await server.call('GET', `${maps}?continue=${text}`), 400, message);
    }
  });

  test('a list is not one object, and the reverse', async () => {
    await using server = await openTestServer();
    await server.call('POST', maps, map('a'));
    const as = (name: string) => ({ accept: `application/json;as=${name};v=v1;g=meta.k8s.io` });
    refused(
      await server.call('GET', maps, undefined, as('PartialObjectMetadata')),
      406,
      'you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)',
    );
    refused(
      await server.call('GET', `${maps}/a`, undefined, as('PartialObjectMetadataList')),
      406,
      'you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)',
    );
  });
});

test('methods that a path is not served for', async () => {
  await using server = await openTestServer();
  await server.call('POST', maps, map('a'));
  const message = 'the server does not allow this method on the requested resource';
  refused(await server.call('POST', `${maps}/a`, map('a')), 405, message);
  refused(await server.call('PUT', maps, map('a')), 405, message);
  refused(await server.call('PATCH', maps, {}, { 'content-type': 'application/merge-patch+json' }), 405, message);
  refused(await server.call('POST', '/api/v1/configmaps', map('b')), 405, message);
  refused(await server.call('DELETE', '/api/v1/configmaps'), 405, message);
  refused(await server.call('DELETE', '/api/v1/namespaces'), 405, message);
  assert.equal((await server.call('GET', `${maps}/a`)).code, 200);
});
