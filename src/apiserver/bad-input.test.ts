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

test('what is unknown is not reported as standing twice, too', async () => {
  await using server = await openTestServer();
  const body = '{"metadata":{"name":"a"},"data":{"a":"1","a":"2"},"foo":{"x":1,"x":2},"foo":3}';
  refused(
    await server.call('POST', `${maps}?fieldValidation=Strict`, body),
    400,
    'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "data.a", unknown field "foo"',
  );
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

describe('what is changed', () => {
  const patchTypes = {
    merge: { 'content-type': 'application/merge-patch+json' },
    strategic: { 'content-type': 'application/strategic-merge-patch+json' },
    apply: { 'content-type': 'application/apply-patch+yaml' },
  };

  test('has the name of its path', async () => {
    await using server = await openTestServer();
    await server.call('POST', maps, map('a'));
    const nameless = 'the name of the object (a based on URL) was undeterminable: name must be provided';
    const other = (name: string) => `the name of the object (b) does not match the name on the URL (${name})`;
    refused(await server.call('PUT', `${maps}/a`, { data: {} }), 400, nameless);
    refused(await server.call('PUT', `${maps}/a`, map('b')), 400, other('a'));
    refused(await server.call('PUT', `${maps}/none`, map('b')), 400, other('none'));
    const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
    refused(await server.call('PUT', `${leases}/a`, { spec: {} }), 400, nameless);
    const rename = { metadata: { name: 'b' } };
    refused(await server.call('PATCH', `${maps}/a`, rename, patchTypes.merge), 400, other('a'));
    refused(await server.call('PATCH', `${maps}/a`, { metadata: { name: null } }, patchTypes.merge), 400, nameless);
    const applied = { apiVersion: 'v1', kind: 'ConfigMap' };
    refused(
      await server.call('PATCH', `${maps}/new?fieldManager=m`, applied, patchTypes.apply),
      400,
      nameless.replace('(a ', '(new '),
    );
  });

  test('stays of its kind', async () => {
    await using server = await openTestServer();
    await server.call('POST', maps, map('a'));
    const answer = await server.call('PATCH', `${maps}/a`, { kind: 'Pod' }, patchTypes.merge);
    assert.equal(answer.code, 422);
    const [cause] = answer.body.details.causes;
    assert.equal(cause.field, 'patch');
    assert.match(cause.message, /: converting \(v1\.Pod\) to \(core\.ConfigMap\): unknown conversion$/);
  });

  test('says nothing twice', async () => {
    await using server = await openTestServer();
    await server.call('POST', maps, map('a'));
    const twice = '{"data":{"b":"1","b":"2"}}';
    for (const type of [patchTypes.merge, patchTypes.strategic]) {
      const strict = await server.call('PATCH', `${maps}/a?fieldValidation=Strict`, twice, type);
      assert.equal(strict.code, 422);
      assert.match(strict.body.message, /strict decoding error: duplicate field "data\.b"$/);
      const warned = await server.call('PATCH', `${maps}/a?dryRun=All`, twice, type);
      assert.equal(warned.code, 200);
      assert.deepEqual(warned.headers['warning'], ['299 - "duplicate field \\"data.b\\""']);
    }
  });

  test('by apply fits its type', async () => {
    await using server = await openTestServer();
    const path = '/apis/apps/v1/namespaces/default/deployments/a?fieldManager=m';
    const deployment = (more: object) => ({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'a', namespace: 'default' },
      ...more,
    });
    const misfit = 'failed to create typed patch object (default/a; apps/v1, Kind=Deployment)';
    const containers = (container: object) => ({
      spec: { template: { spec: { containers: [{ name: 'c', ...container }] } } },
    });
    const at = '.spec.template.spec.containers[name="c"]';
    const cases = [
      [{ spec: { replica: 1 } }, '.spec.replica: field not declared in schema'],
      [containers({ imagee: 'x' }), `${at}.imagee: field not declared in schema`],
      [containers({ image: 7 }), `${at}.image: expected string, got &value.valueUnstructured{Value:7}`],
      [
        containers({ env: [{ name: 'A', value: true }] }),
        `${at}.env[name="A"].value: expected string, got &value.valueUnstructured{Value:true}`,
      ],
      [{ spec: { replicas: 'two' } }, '.spec.replicas: expected numeric (int or float), got string'],
      [{ spec: { paused: 'yes' } }, '.spec.paused: expected boolean, got &{yes}'],
      [{ spec: [1] }, '.spec: expected map, got &{[1]}'],
      [
        { spec: { paused: 1, replicas: 'x' } },
        'errors:\n  .spec.paused: expected boolean, got &{1}\n  .spec.replicas: expected numeric (int or float), got string',
      ],
    ] as const;
    for (const [more, why] of cases)
      refused(await server.call('PATCH', path, deployment(more), patchTypes.apply), 500, `${misfit}: ${why}`);
    refused(await server.call('PATCH', path, {}, patchTypes.apply), 400, 'invalid object type: /, Kind=');
    refused(
      await server.call('PATCH', path, { apiVersion: 'v1', kind: 'Pod' }, patchTypes.apply),
      400,
      'invalid object type: /v1, Kind=Pod',
    );
    refused(
      await server.call('PATCH', path, '[]', patchTypes.apply),
      400,
      'error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value of type map[string]interface {}',
    );
  });
});

test('options of a deletion are no other kind, and of their types', async () => {
  await using server = await openTestServer();
  await server.call('POST', maps, map('a'));
  const options = (apiVersion: string) => ({ apiVersion, kind: 'DeleteOptions', dryRun: ['All'] });
  for (const apiVersion of ['v1', 'meta.k8s.io/v1', 'apps/v1'])
    assert.equal((await server.call('DELETE', `${maps}/a`, options(apiVersion))).code, 200);
  const unknown = await server.call('DELETE', `${maps}/a`, { apiVersion: 'v2', kind: 'Pod' });
  const scheme = 'in scheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"';
  refused(unknown, 400, `no kind "Pod" is registered for version "v2" ${scheme}`);
  const wrong = await server.call('DELETE', `${maps}/a`, { propagationPolicy: 7 });
  const place = 'Go struct field DeleteOptions.propagationPolicy of type v1.DeletionPropagation';
  refused(wrong, 400, `json: cannot unmarshal number into ${place}`);
  assert.equal((await server.call('DELETE', `${maps}/a?dryRun=`)).code, 422);
  assert.equal((await server.call('GET', `${maps}/a`)).code, 200);
});

test('subresources are of the object in their path', async () => {
  await using server = await openTestServer();
  await server.call('POST', '/apis/apps/v1/namespaces/default/deployments', {
    metadata: { name: 'd' },
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  });
  const scale = '/apis/apps/v1/namespaces/default/deployments/d/scale';
  const nameless = 'was undeterminable: name must be provided';
  refused(await server.call('PUT', scale, { spec: {} }), 400, `the name of the object (d based on URL) ${nameless}`);
  await server.call('POST', '/api/v1/namespaces', { metadata: { name: 'n' } });
  const finalize = '/api/v1/namespaces/n/finalize';
  refused(
    await server.call('PUT', finalize, { metadata: { name: 'm' } }),
    400,
    'the name of the object (m) does not match the name on the URL (n)',
  );
  const strange = await server.call('PUT', finalize, { metadata: { name: 'n' }, spec: { finalizers: ['no name'] } });
  assert.equal(strange.code, 422, strange.text);
});

test('a ConfigMap of more than a mebibyte', async () => {
  await using server = await openTestServer();
  refused(
    await server.call('POST', maps, { metadata: { name: 'a' }, data: { a: 'x'.repeat(1024 * 1024 + 1) } }),
    422,
    'ConfigMap "a" is invalid: []: Too long: may not be more than 1048576 bytes',
  );
});

test('the root lists the paths there are', async () => {
  await using server = await openTestServer();
  const { code, body } = await server.call('GET', '/');
  assert.equal(code, 200);
  for (const path of ['/api/v1', '/apis/apps', '/apis/apps/v1', '/healthz', '/metrics', '/version'])
    assert.ok(body.paths.includes(path), path);
});

test('paths beside the resources', async () => {
  await using server = await openTestServer();
  for (const path of ['/healthz/nothing', '/nothing'])
    refused(await server.call('GET', path), 404, '404 page not found\n');
  refused(await server.call('GET', '/version/more'), 404, 'the server could not find the requested resource');
  assert.equal((await server.call('GET', '/version', undefined, { accept: 'application/yaml' })).code, 406);
  refused(
    await server.call('POST', '/version', {}),
    405,
    'the server does not allow this method on the requested resource',
  );
  assert.equal((await server.call('GET', '/version/')).code, 200);
});

test('the last finalizer of a Namespace can be patched away after those of its spec', async () => {
  await using server = await openTestServer();
  const path = '/api/v1/namespaces/n';
  await server.call('POST', '/api/v1/namespaces', { metadata: { name: 'n', finalizers: ['example.com/a'] } });
  await server.call('DELETE', path);
  await server.call('PUT', `${path}/finalize`, { metadata: { name: 'n' }, spec: {} });
  const patched = await server.call(
    'PATCH',
    path,
    { metadata: { finalizers: [] } },
    {
      'content-type': 'application/merge-patch+json',
    },
  );
  assert.equal(patched.code, 200, patched.text);
  assert.equal((await server.call('GET', path)).code, 404);
});
