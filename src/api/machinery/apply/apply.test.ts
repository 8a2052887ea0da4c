import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deployment } from '../../apps/v1/deployment.ts';
import { ConfigMap } from '../../core/v1/config-map.ts';
import { Pod } from '../../core/v1/pod.ts';
import { Service } from '../../core/v1/service.ts';
import type { ManagedFieldsEntry } from '../../meta/v1/object-meta.ts';
import { decodeObject } from '../decode.ts';
import { ApiError } from '../errors.ts';
import { type AppliedKind, applyObject, trackUpdate } from './apply.ts';

const startMs = Date.UTC(2026, 0, 1);

function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value;
  for (const each of Object.values(value)) frozen(each);
  return Object.freeze(value);
}

interface Object_ {
  metadata: { name?: string; annotations?: Record<string, string>; managedFields?: ManagedFieldsEntry[] };
  [key: string]: unknown;
}

interface Body {
  spec: object;
  metadata: object;
  data: object;
}

/** One object and the requests made to it, as an API server would make them. */
class Story {
  readonly kind: AppliedKind;
  live: Object_ | undefined;
  nowMs = startMs;

  constructor(kind: AppliedKind) {
    this.kind = kind;
  }

  apply(manager: string, fields: object, { force = false, subresource = '' } = {}): this {
    const { object } = applyObject({
      kind: this.kind,
      live: this.live,
      applied: frozen(this.#named(fields)),
      manager,
      force,
      subresource,
      nowMs: (this.nowMs += 1000),
    });
    this.live = frozen(object) as unknown as Object_;
    return this;
  }

  update(manager: string, change: (object: Body) => void, subresource = ''): this {
    const updated = structuredClone(this.live ?? this.#named({})) as unknown as Body;
    change(updated);
    const { kind, live } = this;
    trackUpdate({ kind, old: live, updated, manager, subresource, nowMs: (this.nowMs += 1000) });
    this.live = frozen(updated) as unknown as Object_;
    return this;
  }

  /** Owned paths by manager. */
  get owned(): Record<string, unknown> {
    const entries = this.live?.metadata.managedFields ?? [];
    return Object.fromEntries(entries.map(entry => [`${entry.manager}/${entry.operation}`, entry.fieldsV1]));
  }

  get body(): unknown {
    const { apiVersion: _, kind: __, metadata: ___, ...rest } = this.live as Object_;
    return rest;
  }

  #named(fields: object): object {
    const apiVersion = this.kind.group === '' ? this.kind.version : `${this.kind.group}/${this.kind.version}`;
    return { apiVersion, kind: this.kind.kind, metadata: { name: 'x' }, ...fields };
  }
}

const conflict = (run: () => unknown): ApiError => {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'no error' });
};

test('an applier owns what it sets, and loses what it sets no longer', () => {
  const story = new Story(ConfigMap).apply('a', { data: { x: '1', y: '2' } });
  assert.deepEqual(story.body, { data: { x: '1', y: '2' } });
  assert.deepEqual(story.owned, { 'a/Apply': { 'f:data': { 'f:x': {}, 'f:y': {} } } });
  assert.deepEqual(story.apply('a', { data: { x: '1' } }).body, { data: { x: '1' } });
  assert.deepEqual(story.owned, { 'a/Apply': { 'f:data': { 'f:x': {} } } });
});

test('what another manager has too stays', () => {
  const story = new Story(ConfigMap)
    .apply('a', { data: { x: '1', y: '2' } })
    .apply('b', { data: { y: '2' } })
    .apply('a', { data: { x: '1' } });
  assert.deepEqual(story.body, { data: { x: '1', y: '2' } });
  assert.deepEqual(story.owned, { 'a/Apply': { 'f:data': { 'f:x': {} } }, 'b/Apply': { 'f:data': { 'f:y': {} } } });
});

test('a conflict names managers and fields, and force takes over', () => {
  const story = new Story(ConfigMap).apply('a', { data: { x: '1', y: '1' } }).update('editor', object => {
    Object.assign(object, { data: { x: '1', y: '1', z: '1' } });
  });
  const one = conflict(() => story.apply('b', { data: { x: '2' } }));
  assert.equal(one.code, 409);
  assert.equal(one.reason, 'Conflict');
  assert.equal(one.message, 'Apply failed with 1 conflict: conflict with "a": .data.x');
  assert.deepEqual(one.status.details?.causes, [
    { reason: 'FieldManagerConflict', message: 'conflict with "a"', field: '.data.x' },
  ]);
  const several = conflict(() => story.apply('b', { data: { x: '2', y: '2', z: '2' } }));
  assert.equal(
    several.message,
    'Apply failed with 3 conflicts: conflicts with "a":\n- .data.x\n- .data.y\nconflicts with "editor" using v1:\n- .data.z',
  );
  story.apply('b', { data: { x: '2' } }, { force: true });
  assert.deepEqual(story.body, { data: { x: '2', y: '1', z: '1' } });
  assert.deepEqual(story.owned['a/Apply'], { 'f:data': { 'f:y': {} } });
  assert.deepEqual(story.owned['b/Apply'], { 'f:data': { 'f:x': {} } });
});

const container = (name: string, more: object = {}) => ({ name, ...more });

test('lists merge by their keys, and paths say which item', () => {
  const story = new Story(Pod)
    .apply('a', { spec: { containers: [container('one', { image: 'i' })] } })
    .apply('b', { spec: { containers: [container('two', { image: 'j' })] } });
  const { containers } = (story.body as { spec: { containers: unknown } }).spec;
  assert.deepEqual(containers, [container('one', { image: 'i' }), container('two', { image: 'j' })]);
  assert.deepEqual(story.owned['b/Apply'], {
    'f:spec': { 'f:containers': { 'k:{"name":"two"}': { '.': {}, 'f:image': {}, 'f:name': {} } } },
  });
  const error = conflict(() => story.apply('b', { spec: { containers: [container('one', { image: 'k' })] } }));
  assert.equal(error.message, 'Apply failed with 1 conflict: conflict with "a": .spec.containers[name="one"].image');
  story.apply('b', { spec: { hostname: 'h' } });
  assert.deepEqual((story.body as { spec: object }).spec, {
    containers: [container('one', { image: 'i' })],
    hostname: 'h',
  });
});

test('an applied order is kept', () => {
  const story = new Story(Pod)
    .apply('a', { spec: { containers: ['1', '2', '3'].map(name => container(name)) } })
    .apply('b', { spec: { containers: ['3', 'new', '1'].map(name => container(name)) } });
  const { containers } = (story.body as { spec: { containers: { name: string }[] } }).spec;
  const names = containers.map(({ name }) => name);
  assert.ok(names.indexOf('3') < names.indexOf('new') && names.indexOf('new') < names.indexOf('1'), names.join());
  assert.equal(names.length, 4);
});

test('sets and atomic lists', () => {
  const story = new Story(Pod).apply('a', { metadata: { name: 'x', finalizers: ['f/1'] } }).apply('b', {
    metadata: { name: 'x', finalizers: ['f/2'] },
    spec: { containers: [container('c', { args: ['1'] })] },
  });
  assert.deepEqual((story.live as unknown as Pod).metadata.finalizers, ['f/1', 'f/2']);
  assert.deepEqual((story.owned['b/Apply'] as Record<string, unknown>)['f:metadata'], {
    'f:finalizers': { 'v:"f/2"': {} },
  });
  const error = conflict(() => story.apply('a', { spec: { containers: [container('c', { args: ['2'] })] } }));
  assert.match(error.message, /\.spec\.containers\[name="c"\]\.args$/);
});

test('default keys of lists count', () => {
  const story = new Story(Service).apply('a', { spec: { ports: [{ port: 80 }] } });
  assert.deepEqual(story.owned['a/Apply'], {
    'f:spec': { 'f:ports': { 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:port': {} } } },
  });
});

test('an update owns what it changes; others lose it', () => {
  const story = new Story(Deployment)
    .apply('a', { spec: { replicas: 1, paused: true } })
    .update('scaler', object => Object.assign(object.spec, { replicas: 3 }));
  assert.deepEqual(story.owned, {
    'a/Apply': { 'f:spec': { 'f:paused': {} } },
    'scaler/Update': { 'f:spec': { 'f:replicas': {} } },
  });
  story.update('scaler', object => {
    Object.assign(object, { spec: { replicas: 3 } });
  });
  assert.deepEqual(story.owned, { 'scaler/Update': { 'f:spec': { 'f:replicas': {} } } });
});

test('a create by update owns everything but names', () => {
  const story = new Story(Pod).update('creator', object => {
    Object.assign(object, {
      metadata: { name: 'x', labels: { a: 'b' } },
      spec: {
        containers: [{ name: 'c', resources: {}, ports: [{ containerPort: 80, protocol: 'TCP' }] }],
        securityContext: {},
      },
      status: {},
    });
  });
  assert.deepEqual(story.live?.metadata.managedFields, [
    {
      manager: 'creator',
      operation: 'Update',
      apiVersion: 'v1',
      time: '2026-01-01T00:00:01Z',
      fieldsType: 'FieldsV1',
      fieldsV1: {
        'f:metadata': { 'f:labels': { '.': {}, 'f:a': {} } },
        'f:spec': {
          'f:containers': {
            'k:{"name":"c"}': {
              '.': {},
              'f:name': {},
              'f:ports': {
                '.': {},
                'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {}, 'f:protocol': {} },
              },
              'f:resources': {},
            },
          },
          'f:securityContext': {},
        },
      },
    },
  ]);
});

test('an update that changes nothing keeps the time', () => {
  const story = new Story(ConfigMap).update('a', object => Object.assign(object, { data: { x: '1' } }));
  const before = story.live?.metadata.managedFields;
  story.update('b', () => undefined);
  assert.deepEqual(story.live?.metadata.managedFields, before);
  story.apply('c', { data: { x: '1' } }).apply('c', { data: { x: '1' } });
  assert.equal(story.live?.metadata.managedFields?.length, 2);
});

test('what was there before the first apply has a manager of its own', () => {
  const story = new Story(ConfigMap);
  story.live = frozen({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, data: { x: '1', y: '1' } });
  const error = conflict(() => story.apply('a', { data: { x: '2' } }));
  assert.equal(error.message, 'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.x');
  story.update('a', object => Object.assign(object, { data: { x: '3' } }));
  assert.deepEqual(story.owned, {}, 'updates of objects without managers are not tracked');
});

test('clients can clear managedFields, and may hand in their own', () => {
  const story = new Story(ConfigMap).update('a', object => Object.assign(object, { data: { x: '1' } }));
  const entries = story.live?.metadata.managedFields;
  for (const cleared of [[], [{}]]) {
    const copy = new Story(ConfigMap);
    copy.live = story.live;
    copy.update('b', object => Object.assign(object.metadata, { managedFields: cleared }));
    assert.equal(copy.live?.metadata.managedFields, undefined);
  }
  story.update('b', object =>
    Object.assign(object.metadata, { managedFields: [{ ...entries?.[0], manager: 'renamed' }] }),
  );
  assert.deepEqual(Object.keys(story.owned), ['renamed/Update']);
  story.update('b', object => Object.assign(object.metadata, { managedFields: [{ manager: 'bad' }] }));
  assert.deepEqual(Object.keys(story.owned), ['renamed/Update']);
});

test('an empty list of managedFields reaches the tracker', () => {
  const { object } = decodeObject(ConfigMap.schema, { metadata: { managedFields: [] } }, { unknown: 'drop' });
  assert.deepEqual(object, { metadata: { managedFields: [] } });
});

test('ten managers that update are kept', () => {
  const story = new Story(ConfigMap);
  for (let index = 0; index < 13; index++)
    story.update(`m${index}`, object => Object.assign(object, { data: { ...object.data, [`k${index}`]: '1' } }));
  const managers = story.live?.metadata.managedFields?.map(({ manager }) => manager) ?? [];
  assert.equal(managers.length, 10);
  assert.ok(managers.includes('ancient-changes'));
  assert.deepEqual(story.owned['ancient-changes/Update'], {
    'f:data': { '.': {}, 'f:k0': {}, 'f:k1': {}, 'f:k2': {}, 'f:k3': {} },
  });
});

test('status belongs to those who write it through its subresource', () => {
  const story = new Story(Deployment)
    .apply('a', { spec: { replicas: 1 }, status: { replicas: 5 } })
    .update('controller', object => Object.assign(object, { status: { replicas: 1 } }), 'status');
  assert.deepEqual(story.owned['a/Apply'], { 'f:spec': { 'f:replicas': {} } });
  const [, status] = story.live?.metadata.managedFields ?? [];
  assert.deepEqual(
    [status?.manager, status?.subresource, status?.fieldsV1],
    ['controller', 'status', { 'f:status': { 'f:replicas': {} } }],
  );
  const error = conflict(() => story.apply('b', { status: { replicas: 2 } }, { subresource: 'status' }));
  assert.equal(
    error.message,
    'Apply failed with 1 conflict: conflict with "controller" with subresource "status" using apps/v1: .status.replicas',
  );
});

test('kubectl takes over what its client side had applied', () => {
  const lastApplied = JSON.stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'x' },
    data: { x: '1' },
  });
  const story = new Story(ConfigMap).update('kubectl-client-side-apply', object => {
    Object.assign(object, {
      data: { x: '1', y: '1' },
      metadata: { name: 'x', annotations: { 'kubectl.kubernetes.io/last-applied-configuration': lastApplied } },
    });
  });
  story.apply('kubectl', { data: { x: '2' } });
  assert.deepEqual(story.body, { data: { x: '2', y: '1' } });
  const annotation = story.live?.metadata.annotations?.['kubectl.kubernetes.io/last-applied-configuration'] ?? '';
  assert.deepEqual(JSON.parse(annotation).data, { x: '2' });
  const error = conflict(() => story.apply('kubectl', { data: { y: '2' } }));
  assert.match(error.message, /kubectl-client-side-apply/);
});

test('configurations that are refused', () => {
  const story = new Story(Pod);
  const refused = (fields: object, code: number, message: RegExp) => {
    const error = conflict(() => story.apply('a', fields));
    assert.equal(error.code, code);
    assert.match(error.message, message);
  };
  refused({ metadata: { name: 'x', managedFields: [] } }, 400, /^metadata.managedFields must be nil$/);
  refused({ apiVersion: 'v2' }, 400, /^Incorrect version specified in apply patch/);
  refused(
    { metadata: { name: 'x', uid: 'u' } },
    409,
    /uid mismatch: the provided object specified uid u, and no existing object was found$/,
  );
  refused(
    { spec: { containers: [container('a'), container('a')] } },
    500,
    /\.spec\.containers: duplicate entries for key \[name="a"\]/,
  );
  refused(
    { spec: { containers: [{}, { image: 'i' }] } },
    500,
    /\.spec\.containers: duplicate entries for key \[name=""\]/,
  );
});

test('the live object is shared where it stays', () => {
  const story = new Story(Pod).apply('a', { spec: { containers: [container('c')], nodeSelector: { a: 'b' } } });
  const before = (story.live as unknown as { spec: { containers: unknown } }).spec.containers;
  story.apply('b', { spec: { hostname: 'h' } });
  assert.equal((story.live as unknown as { spec: { containers: unknown } }).spec.containers, before);
});

test('what pruning empties is gone, and whoever owned it still does until its next write', () => {
  const story = new Story(Deployment)
    .update('creator', object => {
      const template = { metadata: { annotations: { a: '1' } }, spec: { containers: [{ name: 'c' }] } };
      Object.assign(object, { spec: { template } });
    })
    .apply('a', { spec: { template: { metadata: { annotations: { a: '2' } } } } }, { force: true })
    .apply('a', { spec: { replicas: 1 } });
  const { template } = (story.live as unknown as Deployment).spec;
  assert.deepEqual(template, { metadata: {}, spec: { containers: [{ name: 'c' }] } });
  assert.deepEqual(story.owned['creator/Update'], {
    'f:spec': {
      'f:template': {
        'f:metadata': { 'f:annotations': {} },
        'f:spec': { 'f:containers': { 'k:{"name":"c"}': { '.': {}, 'f:name': {} } } },
      },
    },
  });
});
