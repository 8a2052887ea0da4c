import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createDecipheriv } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventLoopTurn, ManualClock, systemClock, type Clock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';
import { openSqliteStorage } from '#storage/sqlite/sqlite-storage.ts';
import type { Storage } from '#storage/storage.ts';
import { storageSuite } from '#storage/suite.ts';
import { openTestServer, type TestServer } from '../test-server.ts';
import { inUpstreamForm, resourceOfPath } from '../upstream-form.ts';
import { aesCbc, aesGcm } from './aes.ts';
import { openEncryption, type Encryption } from './encryption.ts';
import { secretbox } from './secretbox.ts';

let folder: string;
let shared: Encryption;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'windlass-encryption-'));
  shared = (await open(configuration("'*.*'", provider('aesgcm', 1)))).encryption;
});
after(() => rm(folder, { recursive: true, force: true }));

const secrets = '/api/v1/namespaces/default/secrets';
const maps = '/api/v1/namespaces/default/configmaps';
const canary = 'canary-5b1c9e0d';
const keys = [1, 2].map(seed => Buffer.alloc(32, seed).toString('base64'));

const provider = (type: string, ...used: readonly number[]) =>
  `- ${type}: {keys: [${used.map(index => `{name: key${index}, secret: ${keys[index - 1]}}`).join(', ')}]}`;

function configuration(resources: string, ...providers: readonly string[]): string {
  return `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [${resources}]
  providers:
${providers.map(each => `  ${each}`).join('\n')}
`;
}

let files = 0;

async function open(text: string, clock: Clock = systemClock, reloads = false) {
  const file = join(folder, `configuration-${files++}.yaml`);
  await writeFile(file, text);
  const encryption = await openEncryption({ file, reloads }, { clock, random: systemRandom, log: silentLog });
  return { file, encryption };
}

async function stored(storage: Storage, key: string): Promise<string> {
  const entry = await storage.get(key);
  return Buffer.from(entry?.value.bytes ?? []).toString('latin1');
}

async function write(server: TestServer, name: string): Promise<void> {
  const made = await server.call('POST', secrets, { metadata: { name }, stringData: { password: canary } });
  assert.equal(made.code, 201, made.text);
}

/** `kubectl get secrets -o json | kubectl replace -f -`. */
async function replaceAll(server: TestServer): Promise<void> {
  const { body } = await server.call('GET', secrets);
  for (const item of body.items) {
    const whole = { apiVersion: 'v1', kind: 'Secret', ...item };
    assert.equal((await server.call('PUT', `${secrets}/${item.metadata.name}`, whole)).code, 200);
  }
}

function revealed(text: string): boolean {
  return text.includes(canary) || text.includes(Buffer.from(canary).toString('base64').slice(0, 16));
}

describe('ciphers', () => {
  test('AES in upstream’s layout: vector, blocks; nonce, text, tag, with the key of the store authenticated', () => {
    const key = Buffer.alloc(32, 7);
    const plain = Buffer.from('some object');
    const cbc = aesCbc(key).write(plain, '/k');
    assert.equal(cbc.length, 32);
    const decipher = createDecipheriv('aes-256-cbc', key, cbc.subarray(0, 16));
    assert.deepEqual(Buffer.concat([decipher.update(cbc.subarray(16)), decipher.final()]), plain);
    const gcm = aesGcm(key).write(plain, '/registry/secrets/a/b');
    assert.equal(gcm.length, 12 + plain.length + 16);
    const opened = createDecipheriv('aes-256-gcm', key, gcm.subarray(0, 12));
    opened.setAAD(Buffer.from('/registry/secrets/a/b'));
    opened.setAuthTag(gcm.subarray(-16));
    assert.deepEqual(Buffer.concat([opened.update(gcm.subarray(12, -16)), opened.final()]), plain);
    assert.throws(() => aesGcm(key).read(gcm, '/registry/secrets/a/c'), /message authentication failed/);
    assert.throws(() => aesCbc(Buffer.alloc(32, 8)).read(cbc, '/k'), /PKCS7/);
    for (const size of [16, 24]) {
      const small = Buffer.alloc(size, 1);
      for (const made of [aesCbc(small), aesGcm(small)])
        assert.deepEqual(made.read(made.write(plain, '/k'), '/k'), { bytes: plain, writer: made.writer });
    }
  });

  test('secretbox is NaCl’s', () => {
    const hex = (text: string) => Buffer.from(text, 'hex');
    const key = hex('1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389');
    const nonce = hex('69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37');
    const plain = hex(
      'be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705',
    );
    const sealed = hex(
      'f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5',
    );
    const box = secretbox(key);
    const read = box.read(Buffer.concat([nonce, sealed]), '/k');
    assert.ok(!(read instanceof Promise));
    assert.deepEqual(Buffer.from(read.bytes), plain);
    const own = box.write(plain, '/k');
    assert.equal(own.length, 24 + 16 + plain.length);
    own[30] = (own[30] as number) ^ 1;
    assert.throws(() => box.read(own, '/k'), /cannot be authenticated/);
  });
});

describe('what is stored', () => {
  for (const [type, prefix] of [
    ['aescbc', 'k8s:enc:aescbc:v1:key1:'],
    ['aesgcm', 'k8s:enc:aesgcm:v1:key1:'],
    ['secretbox', 'k8s:enc:secretbox:v1:key1:'],
  ] as const)
    test(`${type}: nothing of a secret is readable below, and everything above`, async () => {
      const memory = openMemoryStorage();
      const { encryption } = await open(configuration('secrets', provider(type, 1), '- identity: {}'));
      const storage = encryption.over(memory);
      {
        await using server = await openTestServer({ storage });
        await write(server, 'a');
        const watch = await server.watch(`${secrets}?watch=1&resourceVersion=1`);
        const patch = { stringData: { more: canary } };
        await server.call('PATCH', `${secrets}/a`, patch, { 'content-type': 'application/merge-patch+json' });
        await server.call('POST', maps, { metadata: { name: 'open' }, data: { a: canary } });
        assert.equal(watch.events.length, 2);
        assert.equal(watch.events[1].object.data.more, Buffer.from(canary).toString('base64'));
        const raw = await stored(memory, '/registry/secrets/default/a');
        assert.ok(raw.startsWith(prefix), raw.slice(0, 40));
        assert.ok(!revealed(raw));
        assert.ok(revealed(await stored(memory, '/registry/configmaps/default/open')));
        // Another server on the same store reads it, its history included.
        await using again = await openTestServer({ storage: encryption.over(memory) });
        const { body } = await again.call('GET', `${secrets}/a`);
        assert.equal(Buffer.from(body.data.password, 'base64').toString(), canary);
        const resumed = await again.watch(`${secrets}?watch=1&resourceVersion=1`);
        assert.equal(resumed.events.length, 2);
        watch.close();
        resumed.close();
      }
      await encryption[Symbol.asyncDispose]();
    });

  test('the first provider writes, all of them read, and a replace writes everything anew', async () => {
    const memory = openMemoryStorage();
    const steps: readonly (readonly [providers: readonly string[], prefix: string])[] = [
      [['- identity: {}'], '{"metadata"'],
      [[provider('aescbc', 1), '- identity: {}'], 'k8s:enc:aescbc:v1:key1:'],
      [[provider('aescbc', 2, 1)], 'k8s:enc:aescbc:v1:key2:'],
      [[provider('secretbox', 1), provider('aescbc', 2)], 'k8s:enc:secretbox:v1:key1:'],
      [['- identity: {}', provider('secretbox', 1)], '{"metadata"'],
    ];
    let before: string | undefined;
    for (const [providers, prefix] of steps) {
      const { encryption } = await open(configuration('secrets', ...providers));
      const server = await openTestServer({ storage: encryption.over(memory) });
      if (before === undefined) await write(server, 'a');
      else {
        assert.ok((await stored(memory, '/registry/secrets/default/a')).startsWith(before));
        const version = (await server.call('GET', `${secrets}/a`)).body.metadata.resourceVersion;
        await replaceAll(server);
        const { metadata, data } = (await server.call('GET', `${secrets}/a`)).body;
        assert.notEqual(metadata.resourceVersion, version, prefix);
        assert.equal(Buffer.from(data.password, 'base64').toString(), canary);
        // And once is enough.
        await replaceAll(server);
        assert.equal(
          (await server.call('GET', `${secrets}/a`)).body.metadata.resourceVersion,
          metadata.resourceVersion,
        );
      }
      assert.ok((await stored(memory, '/registry/secrets/default/a')).startsWith(prefix), prefix);
      before = prefix;
      await server.server[Symbol.asyncDispose]();
      await encryption[Symbol.asyncDispose]();
    }
  });

  test('without its key nothing is guessed: the server says which object, and what is missing', async () => {
    const memory = openMemoryStorage();
    const first = await open(configuration('secrets', provider('aescbc', 1)));
    const server = await openTestServer({ storage: first.encryption.over(memory) });
    await write(server, 'a');
    await server.server[Symbol.asyncDispose]();
    const other = await open(configuration('secrets', provider('aescbc', 2), '- identity: {}'));
    await assert.rejects(
      openTestServer({ storage: other.encryption.over(memory) }),
      /^Error: unable to transform key "\/registry\/secrets\/default\/a": no matching key was found for the provided AES transformer; the key that it was encrypted with must be in the file of encryption-provider-config$/,
    );
    const none = await open(configuration('configmaps', provider('aescbc', 1)));
    await assert.rejects(
      openTestServer({ storage: none.encryption.over(memory) }),
      /identity transformer tried to read encrypted data/,
    );
  });

  test('wildcards: *.* for all, *.group for a group, the first rule wins', async () => {
    const memory = openMemoryStorage();
    const text = `${configuration('secrets', provider('secretbox', 1))}- resources: ['*.apps']
  providers:
  ${provider('aesgcm', 1)}
- resources: ['*.']
  providers:
  - identity: {}
- resources: ['*.*']
  providers:
  ${provider('aescbc', 1)}
`;
    const { encryption } = await open(text);
    await using server = await openTestServer({ storage: encryption.over(memory) });
    await write(server, 'a');
    await server.call('POST', maps, { metadata: { name: 'm' } });
    const metadata = { name: 'r', labels: { app: 'r' } };
    const template = { metadata, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const spec = { replicas: 0, selector: { matchLabels: { app: 'r' } }, template };
    await server.call('POST', '/apis/apps/v1/namespaces/default/replicasets', { metadata, spec });
    await server.call('POST', '/apis/coordination.k8s.io/v1/namespaces/default/leases', { metadata: { name: 'l' } });
    const head = async (key: string) => (await stored(memory, `/registry/${key}`)).slice(0, 15);
    assert.equal(await head('secrets/default/a'), 'k8s:enc:secretb');
    assert.equal(await head('configmaps/default/m'), '{"metadata":{"n');
    assert.equal(await head('replicasets.apps/default/r'), 'k8s:enc:aesgcm:');
    assert.equal(await head('leases.coordination.k8s.io/default/l'), 'k8s:enc:aescbc:');
  });

  test('below upstream’s keys and values it is upstream’s form', async () => {
    const memory = openMemoryStorage();
    const file = join(folder, 'upstream.yaml');
    await writeFile(file, configuration("secrets, 'deployments.apps', services", provider('aesgcm', 1)));
    const options = { file, reloads: false, resourceOf: (path: string) => resourceOfPath(path) };
    const encryption = await openEncryption(options, { clock: systemClock, random: systemRandom, log: silentLog });
    await using server = await openTestServer({ storage: inUpstreamForm(encryption.over(memory)) });
    await write(server, 'a');
    const port = { port: 80 };
    await server.call('POST', '/api/v1/namespaces/default/services', {
      metadata: { name: 's' },
      spec: { ports: [port] },
    });
    const raw = await memory.get('/registry/secrets/default/a');
    const prefix = 'k8s:enc:aesgcm:v1:key1:';
    const sealed = Buffer.from(raw?.value.bytes ?? []);
    assert.equal(sealed.subarray(0, prefix.length).toString(), prefix);
    const opened = aesGcm(Buffer.from(keys[0] as string, 'base64')).read(
      sealed.subarray(prefix.length),
      '/registry/secrets/default/a',
    );
    assert.ok(!(opened instanceof Promise));
    assert.match(Buffer.from(opened.bytes).toString(), /^\{"kind":"Secret","apiVersion":"v1","metadata":/);
    assert.ok((await stored(memory, '/registry/services/specs/default/s')).startsWith(prefix));
  });

  test('no file of the data directory holds a canary, in use or closed', async () => {
    const directory = join(folder, 'store');
    await mkdir(directory);
    const { encryption } = await open(configuration('secrets', provider('aescbc', 1)));
    const storage = encryption.over(await openSqliteStorage({ directory }));
    const server = await openTestServer({ storage });
    for (let index = 0; index < 50; index++) await write(server, `s-${index}`);
    for (let index = 0; index < 25; index++) await server.call('DELETE', `${secrets}/s-${index}`);
    const look = async () => {
      const names = await readdir(directory);
      assert.ok(names.length > 0);
      for (const name of names) {
        const bytes = (await readFile(join(directory, name))).toString('latin1');
        assert.ok(!revealed(bytes), name);
        assert.ok(!bytes.includes('"password"'), name);
      }
    };
    await look();
    await server[Symbol.asyncDispose]();
    await look();
    await encryption[Symbol.asyncDispose]();
  });

  test('a changed file is taken over; a wrong one is not', async () => {
    const clock = new ManualClock();
    const memory = openMemoryStorage();
    const { file, encryption } = await open(configuration('secrets', provider('aescbc', 1)), clock, true);
    await using server = await openTestServer({
      storage: encryption.over(memory),
      healthChecks: encryption.healthChecks,
    });
    encryption.metrics.registerIn(server.server.metrics.registry);
    await write(server, 'a');
    await writeFile(file, 'nonsense: [');
    await clock.advance(60_000);
    await write(server, 'b');
    await writeFile(file, configuration('secrets', provider('aesgcm', 2), provider('aescbc', 1)));
    await clock.advance(60_000);
    await replaceAll(server);
    for (const name of ['a', 'b'])
      assert.ok((await stored(memory, `/registry/secrets/default/${name}`)).startsWith('k8s:enc:aesgcm:v1:key2:'));
    const { text } = await server.call('GET', '/metrics');
    assert.match(text, /automatic_reloads_total\{status="failure"\} 1/);
    assert.match(text, /automatic_reloads_total\{status="success"\} 1/);
    assert.match(
      text,
      /apiserver_storage_transformation_operations_total\{resource="secrets",transformation_type="to_storage",transformer_prefix="k8s:enc:aescbc:v1:",status="OK"\} 2\n/,
    );
    assert.match(text, /transformation_duration_seconds_count\{transformation_type="to_storage"/);
    assert.match((await server.call('GET', '/readyz?verbose')).text, /\[\+\]kms-providers ok/);
    await encryption[Symbol.asyncDispose]();
  });
});

describe('a file that is wrong', () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['', /encryption provider configuration file ".*" is empty/],
    ['kind: Pod\napiVersion: v1', /no kind "Pod" is registered for version "v1"/],
    [configuration('secrets'), /unknown|providers|is wrong|null|no list/],
    [
      configuration('secrets', '- aescbc: {keys: [{name: a, secret: c2hvcnQ=}]}'),
      /resources\[0\]\.providers\[0\]\.aescbc\.keys\[0\]\.secret: Invalid value: "REDACTED": secret is not of the expected length, got 5, expected one of \[16 24 32\]/,
    ],
    [
      configuration('secrets', '- secretbox: {keys: [{name: a, secret: "%%%"}]}'),
      /secretbox\.keys\[0\]\.secret: Invalid value: "REDACTED": secrets must be base64 encoded/,
    ],
    [configuration('secrets', '- aesgcm: {keys: []}'), /aesgcm\.keys: Required value: at least one keys is required/],
    [
      configuration('secrets', '- aesgcm: {keyss: []}'),
      /unknown field "resources\[0\]\.providers\[0\]\.aesgcm\.keyss"/,
    ],
    [configuration('"*"', '- identity: {}'), /use '\*\.' to encrypt all the resources from core API group/],
    [configuration('Secrets', '- identity: {}'), /resource name should not contain capital letters/],
    [configuration("secrets, '*.'", '- identity: {}'), /using overlapping resources such as 'secrets' and '\*\.'/],
    [configuration('secrets, secrets', '- identity: {}'), /the same resource cannot be specified multiple times/],
    [configuration("'secrets.*'", '- identity: {}'), /encrypting the same resource across groups is not supported/],
    [
      `${configuration("'*.*'", '- identity: {}')}- resources: [secrets]\n  providers:\n  - identity: {}\n`,
      /resource "secrets" is masked by earlier rule "\*\.\*"/,
    ],
    [configuration('secrets', '- {}'), /provider does not contain any of the expected providers/],
    [
      configuration('secrets', '- {identity: {}, aesgcm: {keys: []}}'),
      /more than one provider specified in a single element/,
    ],
    [
      configuration('secrets', '- kms: {name: k, endpoint: "unix:///k"}'),
      /KMSv1 is deprecated .*; it is not served here: use KMSv2/,
    ],
    [
      configuration('secrets', '- kms: {apiVersion: v2, name: k, endpoint: "tcp://k"}'),
      /unsupported scheme "tcp" for KMS provider, only unix is supported/,
    ],
    [
      configuration('secrets', '- kms: {apiVersion: v2, name: "a:b", endpoint: "unix:///k"}'),
      /invalid KMS provider name a:b, must not contain ':'/,
    ],
    [
      configuration('secrets', '- kms: {apiVersion: v2, name: a, cachesize: 5, endpoint: "unix:///k"}'),
      /cachesize is not supported in v2/,
    ],
  ];
  for (const [text, message] of wrong)
    test(`is refused in one sentence: ${message.source.slice(0, 60)}`, async () => {
      await assert.rejects(open(text), (error: Error) => {
        assert.match(error.message, message);
        assert.ok(!error.message.includes('\n'));
        assert.ok(!error.message.includes('c2hvcnQ'));
        return true;
      });
    });
});

describe('KMS v2', () => {
  interface Plugin extends AsyncDisposable {
    readonly socket: string;
    become(state: { keyId: string; healthz?: string }): Promise<void>;
  }

  async function startPlugin(name: string): Promise<Plugin> {
    const socket = join(folder, `${name}.sock`);
    const state = join(folder, `${name}.json`);
    const become = async ({ keyId, healthz = 'ok' }: { keyId: string; healthz?: string }) =>
      writeFile(state, JSON.stringify({ keyId, healthz }));
    await become({ keyId: 'one' });
    const program = fileURLToPath(new URL('./kms-plugin.fixture.ts', import.meta.url));
    const child = spawn(process.execPath, [program, socket, state], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    return {
      socket,
      become,
      async [Symbol.asyncDispose]() {
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      },
    };
  }

  const kms = (socket: string) =>
    configuration(
      'secrets',
      `- kms: {apiVersion: v2, name: vault, endpoint: "unix://${socket}", timeout: 1s}`,
      '- identity: {}',
    );

  test('a seed a key id; a rotated key makes what it wrote outdated; the plugin is asked once', async () => {
    await using plugin = await startPlugin('rotating');
    const clock = systemClock;
    const memory = openMemoryStorage();
    const { encryption } = await open(kms(plugin.socket), clock);
    const server = await openTestServer({ storage: encryption.over(memory), healthChecks: encryption.healthChecks });
    encryption.metrics.registerIn(server.server.metrics.registry);
    for (const name of ['a', 'b', 'c']) await write(server, name);
    const raw = await stored(memory, '/registry/secrets/default/a');
    assert.ok(raw.startsWith('k8s:enc:kms:v2:vault:'));
    assert.ok(raw.includes('made-by.example.com') && raw.includes('one') && !revealed(raw));
    assert.match((await server.call('GET', '/readyz?verbose')).text, /\[\+\]kms-providers ok/);
    const metrics = (await server.call('GET', '/metrics')).text;
    assert.match(
      metrics,
      /kms_operations_latency_seconds_count\{provider_name="vault",method_name="\/v2.KeyManagementService\/Encrypt",grpc_status_code="OK"\} 1\n/,
    );
    await server.server[Symbol.asyncDispose]();
    await encryption[Symbol.asyncDispose]();

    // The next server gets a seed of its own, and reads the old one with one question to the plugin.
    await plugin.become({ keyId: 'two' });
    const next = await open(kms(plugin.socket), clock);
    await using again = await openTestServer({ storage: next.encryption.over(memory) });
    next.encryption.metrics.registerIn(again.server.metrics.registry);
    assert.equal((await again.call('GET', secrets)).body.items.length, 3);
    await replaceAll(again);
    assert.ok((await stored(memory, '/registry/secrets/default/b')).includes('two'));
    const asked = (await again.call('GET', '/metrics')).text;
    assert.match(asked, /KeyManagementService\/Decrypt",grpc_status_code="OK"\} 1\n/);
    assert.match(asked, /apiserver_storage_envelope_transformation_cache_misses_total 1\n/);
    await next.encryption[Symbol.asyncDispose]();
  });

  test('a plugin that is ill makes the server unready, and after three minutes no longer writes; it goes on reading', async () => {
    await using plugin = await startPlugin('ill');
    const clock = new ManualClock(Date.now());
    const memory = openMemoryStorage();
    const { encryption } = await open(kms(plugin.socket), clock);
    await using server = await openTestServer({
      storage: encryption.over(memory),
      healthChecks: encryption.healthChecks,
    });
    await write(server, 'a');
    await plugin.become({ keyId: '' });
    const pass = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 10_000) {
        await clock.advance(10_000);
        // The plugin is a process of its own: its answers come in real time.
        await systemClock.sleep(5);
      }
    };
    await pass(200_000);
    assert.equal((await server.call('GET', '/readyz')).code, 500);
    const refused = await server.call('POST', secrets, { metadata: { name: 'b' } });
    assert.equal(refused.code, 500);
    assert.match(refused.text, /encryptedDEKSource with keyID hash .* expired/);
    assert.equal((await server.call('GET', `${secrets}/a`)).code, 200);
    await plugin.become({ keyId: 'one' });
    await pass(20_000);
    await eventLoopTurn();
    assert.equal((await server.call('GET', '/readyz')).code, 200);
    await write(server, 'b');
    await encryption[Symbol.asyncDispose]();
  });

  test('a plugin that comes later than the server is waited for', async () => {
    const memory = openMemoryStorage();
    {
      await using plugin = await startPlugin('late');
      const { encryption } = await open(kms(plugin.socket));
      const server = await openTestServer({ storage: encryption.over(memory) });
      await write(server, 'a');
      await server.server[Symbol.asyncDispose]();
      await encryption[Symbol.asyncDispose]();
    }
    await rm(join(folder, 'late.sock'), { force: true });
    const { encryption } = await open(kms(join(folder, 'late.sock')));
    const starting = openTestServer({ storage: encryption.over(memory) });
    await using plugin = await startPlugin('late');
    await using server = await starting;
    assert.equal((await server.call('GET', secrets)).body.items.length, 1);
    await encryption[Symbol.asyncDispose]();
    void plugin;
  });
});

storageSuite('encrypted memory', async () => shared.over(openMemoryStorage()));
