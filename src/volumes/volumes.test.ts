import assert from 'node:assert/strict';
import { closeSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { ConfigMap } from '#api/core/v1/config-map.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Volume } from '#api/core/v1/pod-spec.ts';
import { writeAtomically } from './atomic-writer.ts';
import { fieldValue, resourceValue } from './downward-api.ts';
import type { VolumeObjects } from './plugin.ts';
import { renewAtMs } from './plugins/projected.ts';
import { checkHostPath } from './plugins/host-path.ts';
import { setUpVolumes, tearDownVolumes } from './pod-volumes.ts';
import { bindSubPath, openBeneath } from './sub-path.ts';

async function scratch() {
  const path = await mkdtemp(join(tmpdir(), 'windlass-volumes-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

const file = (content: string, mode = 0o644) => ({ content: Buffer.from(content), mode });

describe('the atomic writer', () => {
  test('changes all files at once by one link, and nothing when nothing changes', async () => {
    await using directory = await scratch();
    const { path } = directory;
    assert.equal(
      await writeAtomically(
        path,
        new Map([
          ['a', file('1')],
          ['deep/b', file('2', 0o600)],
        ]),
        {},
        0,
      ),
      true,
    );
    assert.equal(await readFile(join(path, 'deep/b'), 'utf8'), '2');
    assert.equal(await readlink(join(path, 'a')), '..data/a');
    assert.equal((await stat(join(path, 'deep/b'))).mode & 0o777, 0o600);
    const before = await readlink(join(path, '..data'));
    assert.equal(
      await writeAtomically(
        path,
        new Map([
          ['a', file('1')],
          ['deep/b', file('2', 0o600)],
        ]),
        {},
        1,
      ),
      false,
    );
    assert.equal(await readlink(join(path, '..data')), before);
    assert.equal(await writeAtomically(path, new Map([['a', file('3')]]), {}, 2), true);
    assert.notEqual(await readlink(join(path, '..data')), before);
    const names = (await readdir(path)).filter(name => !name.startsWith('..'));
    assert.deepEqual(names, ['a']);
    assert.equal((await readdir(path)).includes(before), false);
  });

  test('refuses paths that lead out, and keeps the keys of Object.prototype', async () => {
    await using directory = await scratch();
    const { path } = directory;
    for (const name of ['../x', '/etc/x', 'a/../../x', '..data', ''])
      await assert.rejects(writeAtomically(path, new Map([[name, file('1')]]), {}, 0), /invalid path/);
    await writeAtomically(
      path,
      new Map([
        ['__proto__', file('1')],
        ['constructor', file('2')],
      ]),
      {},
      0,
    );
    assert.equal(await readFile(join(path, '__proto__'), 'utf8'), '1');
  });
});

describe('a part of a volume', () => {
  test('is made when it is missing', async () => {
    await using directory = await scratch();
    closeSync(openBeneath(directory.path, 'a/b'));
    assert.equal((await stat(join(directory.path, 'a/b'))).isDirectory(), true);
  });

  test('follows links that stay inside, and no others', async () => {
    await using directory = await scratch();
    const { path } = directory;
    const volume = join(path, 'volume');
    await mkdir(join(volume, 'real'), { recursive: true });
    await writeFile(join(path, 'secret'), 'host');
    await writeFile(join(volume, 'real/file'), 'mine');
    await symlink('real/../real', join(volume, 'inside'));
    await symlink('..', join(volume, 'up'));
    await symlink('/etc', join(volume, 'absolute'));
    await symlink('loop', join(volume, 'loop'));
    const found = openBeneath(volume, 'inside/file');
    assert.equal(readlinkSync(`/proc/self/fd/${found}`), join(volume, 'real/file'));
    closeSync(found);
    for (const bad of ['up', 'up/secret', 'absolute/passwd', 'loop', '../secret', '/etc', 'real/file/x'])
      assert.throws(() => closeSync(openBeneath(volume, bad)), /failed to prepare subPath/, bad);
  });

  test('is bound to a place of the agent', { skip: process.getuid?.() !== 0 && 'needs root' }, async () => {
    await using directory = await scratch();
    const { path } = directory;
    await mkdir(join(path, 'pod/volume'), { recursive: true });
    await writeFile(join(path, 'pod/volume/file'), 'mine');
    await bindSubPath(join(path, 'pod/volume'), 'file', join(path, 'pod/bound/0'));
    assert.equal(await readFile(join(path, 'pod/bound/0'), 'utf8'), 'mine');
    await tearDownVolumes(join(path, 'pod'));
    assert.deepEqual(await readdir(path), []);
  });
});

const nothing: VolumeObjects = {
  configMap: async () => undefined,
  secret: async () => undefined,
  claim: async () => undefined,
  persistentVolume: async () => undefined,
  trustBundles: async () => [],
  token: async () => ({ token: 'a-token', issuedMs: 0, expiresMs: 3_600_000 }),
  node: () => undefined,
};

function podWith(volume: Omit<Volume, 'name'>, more: object = {}): Pod {
  const metadata = { name: 'a', namespace: 'default', uid: 'u', labels: { app: 'x' } };
  return { metadata, spec: { containers: [], volumes: [{ name: 'v', ...volume }], ...more } } as unknown as Pod;
}

describe('volumes of a pod', () => {
  test('a ConfigMap with chosen keys', async () => {
    await using directory = await scratch();
    const configMap = async () =>
      ({ metadata: {}, data: { a: '1', b: '2' }, binaryData: { c: 'AAE=' } }) as unknown as ConfigMap;
    const items = [
      { key: 'a', path: 'deep/one', mode: 0o400 },
      { key: 'c', path: 'binary' },
    ];
    const pod = podWith({ configMap: { name: 'settings', items, defaultMode: 0o644 } });
    const volumes = await setUpVolumes(pod, directory.path, { ...nothing, configMap }, 0);
    const mounted = volumes.get('v');
    assert.ok(mounted?.kind === 'path' && mounted.readonly);
    assert.equal(await readFile(join(mounted.path, 'deep/one'), 'utf8'), '1');
    assert.deepEqual([...(await readFile(join(mounted.path, 'binary')))], [0, 1]);
    assert.equal((await stat(join(mounted.path, 'deep/one'))).mode & 0o777, 0o400);
  });

  test('trust bundles: by name or signer, each certificate once, brought up to date', async () => {
    await using directory = await scratch();
    const certificate = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
    const bundle = (...texts: string[]) => ({ spec: { trustBundle: `# ours\n${texts.map(certificate).join('')}` } });
    let found = [bundle('b', 'a'), bundle('a')];
    const asked: unknown[] = [];
    const from = {
      ...nothing,
      trustBundles: async (wish: unknown) => {
        asked.push(wish);
        return found as never;
      },
    };
    const source = { signerName: 'example.com/signer', labelSelector: {}, path: 'roots.pem' };
    const pod = podWith({ projected: { sources: [{ clusterTrustBundle: source }], defaultMode: 0o644 } });
    const read = async () => {
      const mounted = (await setUpVolumes(pod, directory.path, from, 0)).get('v');
      assert.ok(mounted?.kind === 'path');
      return readFile(join(mounted.path, 'roots.pem'), 'utf8');
    };
    assert.equal(await read(), certificate('a') + certificate('b'));
    assert.deepEqual(asked, [{ signerName: 'example.com/signer', labelSelector: {} }]);
    found = [bundle('c')];
    assert.equal(await read(), certificate('c'));
    found = [];
    await assert.rejects(read(), /combination of signerName and labelSelector matched zero ClusterTrustBundles/);
    const named = { name: 'none', path: 'roots.pem' };
    const byName = podWith({ projected: { sources: [{ clusterTrustBundle: named }], defaultMode: 0o644 } });
    await assert.rejects(
      setUpVolumes(byName, directory.path, from, 0),
      /clustertrustbundle\.certificates\.k8s\.io "none" not found/,
    );
    const optional = podWith({
      projected: { sources: [{ clusterTrustBundle: { ...named, optional: true } }], defaultMode: 0o644 },
    });
    await setUpVolumes(optional, directory.path, from, 0);
    await tearDownVolumes(directory.path);
  });

  test('a token is renewed at 80 % of its life, at most after a day', async () => {
    await using directory = await scratch();
    const sources = [{ serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }];
    const pod = podWith({ projected: { sources, defaultMode: 0o644 } } as never);
    const mounted = (await setUpVolumes(pod, directory.path, nothing, 0)).get('v');
    assert.ok(mounted?.kind === 'path');
    assert.equal(mounted.refreshAtMs, 2_880_000);
    assert.equal(await readFile(join(mounted.path, 'token'), 'utf8'), 'a-token');
    assert.equal(renewAtMs(0, 365 * 24 * 3_600_000), 24 * 3_600_000);
    await tearDownVolumes(directory.path);
  });

  const refused: Readonly<Record<string, readonly [Omit<Volume, 'name'>, RegExp]>> = {
    'a missing ConfigMap': [
      { configMap: { name: 'x', defaultMode: 0o644 } },
      /MountVolume.SetUp failed for volume "v" : configmap "x" not found/,
    ],
    'a missing Secret': [{ secret: { secretName: 'x', defaultMode: 0o644 } }, /secret "x" not found/],
    'a missing claim': [{ persistentVolumeClaim: { claimName: 'x' } }, /persistentvolumeclaim "x" not found/],
    'a kind that this node does not know': [
      { glusterfs: { endpoints: 'e', path: 'p' } },
      /no volume plugin matched: glusterfs is not supported by this node/,
    ],
    gitRepo: [{ gitRepo: { repository: 'r' } }, /gitRepo is not supported/],
  };
  for (const [name, [volume, message]] of Object.entries(refused))
    test(`${name} is told`, async () => {
      await using directory = await scratch();
      await assert.rejects(setUpVolumes(podWith(volume), directory.path, nothing, 0), message);
    });

  test('what is optional may be missing', async () => {
    await using directory = await scratch();
    const pod = podWith({ configMap: { name: 'x', optional: true, defaultMode: 0o644 } });
    const mounted = (await setUpVolumes(pod, directory.path, nothing, 0)).get('v');
    assert.ok(mounted?.kind === 'path');
    assert.deepEqual(
      (await readdir(mounted.path)).filter(name => !name.startsWith('..')),
      [],
    );
  });

  test('an emptyDir belongs to the group of the pod', { skip: process.getuid?.() !== 0 && 'needs root' }, async () => {
    await using directory = await scratch();
    const pod = podWith({ emptyDir: {} }, { securityContext: { fsGroup: 2000 } });
    const mounted = (await setUpVolumes(pod, directory.path, nothing, 0)).get('v');
    assert.ok(mounted?.kind === 'path');
    const found = await stat(mounted.path);
    assert.deepEqual([found.gid, found.mode & 0o7777], [2000, 0o2777]);
  });

  test('hostPath types', async () => {
    await using directory = await scratch();
    const { path } = directory;
    await checkHostPath(join(path, 'made'), 'DirectoryOrCreate');
    await checkHostPath(join(path, 'made'), 'Directory');
    await checkHostPath(join(path, 'file'), 'FileOrCreate');
    await checkHostPath('/dev/null', 'CharDevice');
    await checkHostPath(join(path, 'whatever'), '');
    await assert.rejects(
      checkHostPath(join(path, 'none'), 'Directory'),
      /hostPath type check failed: .*none is not a directory/,
    );
    await assert.rejects(checkHostPath(join(path, 'made'), 'File'), /is not a file/);
    await assert.rejects(checkHostPath(join(path, 'made'), 'Socket'), /is not a socket file/);
  });
});

test('the downward API', () => {
  const pod = podWith({}, { containers: [{ name: 'c', resources: { limits: { cpu: '1500m', memory: '64Mi' } } }] });
  const field = (fieldPath: string) => fieldValue({ fieldPath, apiVersion: 'v1' }, pod);
  assert.equal(field("metadata.labels['app']"), 'x');
  assert.equal(field("metadata.labels['__proto__']"), '');
  assert.equal(field('metadata.labels'), 'app="x"');
  assert.throws(() => field('spec.secrets'), /unsupported fieldPath/);
  const amount = (resource: string, divisor = '0') =>
    resourceValue({ containerName: 'c', resource, divisor }, pod, undefined);
  assert.deepEqual(
    [amount('limits.cpu'), amount('limits.cpu', '1m'), amount('limits.memory', '1Mi'), amount('requests.cpu')],
    ['2', '1500', '64', '0'],
  );
});
