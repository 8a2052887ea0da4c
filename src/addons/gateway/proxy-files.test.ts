import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Filters, HttpEntry, ProxyModel } from './model.ts';
import { addressWord, luaText, proxyFiles, serverName } from './proxy-files.ts';

/** What somebody would write who wants to get out of a string, a line, a section or a log format. */
const hostile = [
  '"',
  "'",
  '\\',
  '\\"',
  '"]}os.execute("id")--',
  ']]',
  '--[[',
  '}',
  '{',
  '#',
  ' ',
  '\t',
  '\n',
  '\r\n',
  '\0',
  '%[env(HOME)]',
  '%%',
  '$HOME',
  '"${HOME}"',
  '`id`',
  'ä',
  '😀',
  '\u2028',
  '\ud800',
  '\x7f',
  '\nbackend evil\n  server x 127.0.0.1:22',
  '-f /etc/shadow',
  'x'.repeat(100_000),
];

function modelWith(entry: Partial<HttpEntry>, filters: Filters = {}): ProxyModel {
  const entries: HttpEntry[] = [
    {
      hostname: '',
      path: { type: 'prefix', path: '/' },
      headers: [],
      query: [],
      age: '',
      rule: { filters, backends: [{ weight: 1, backend: 'b-1', filters }] },
      ...entry,
    },
  ];
  return {
    ports: [{ id: 'a/b:80', number: 80, listeners: [{ type: 'http', hostname: '', certificates: [], entries }] }],
    backends: new Map([
      ['b-1', { name: 'b-1', namespace: 'a', service: 'b', portName: '', protocol: 'http' as const }],
    ]),
  };
}

const settings = {
  address: '127.0.0.1',
  localPorts: new Map([['a/b:80', 61_234]]),
  metricsPort: 61_233,
  threads: 1,
  clusterId: 'abcdef',
  servers: () => ['10.0.0.1:80', '[fd00::1]:80'],
};

/** Every place that takes what users write. */
const places: readonly ((text: string) => ProxyModel)[] = [
  text => modelWith({ path: { type: 'exact', path: text } }),
  text => modelWith({ path: { type: 'prefix', path: text } }),
  text => modelWith({ headers: [{ name: text, value: text }] }),
  text => modelWith({ query: [{ name: text, value: text }] }),
  text => modelWith({ method: text }),
  text => modelWith({ hostname: text }),
  text => modelWith({}, { request: { set: [[text, text]], add: [[text, text]], remove: [text] } }),
  text => modelWith({}, { response: { set: [[text, text]], add: [[text, text]], remove: [text] } }),
  text => modelWith({}, { redirect: { scheme: text, host: text, path: { full: text }, code: 302 } }),
  text => modelWith({}, { rewrite: { host: text, path: { prefix: text } } }),
  text => modelWith({}, { mirrors: [{ backend: text, share: 1, of: 1 }] }),
  text =>
    modelWith(
      {},
      {
        cors: {
          origins: [text],
          credentials: true,
          methods: [text],
          headers: [text],
          exposed: [text],
          maxAgeSeconds: 1,
        },
      },
    ),
];

test('whatever users write is between quotes, and has no byte that could end them', () => {
  const shape = (text: string) =>
    text.replace(/"(?:[A-Za-z0-9/._-]|\\x[0-9a-f]{2})*"/g, '""').replace(/\b(n|p)=\d+/g, '$1=0');
  for (const place of places) {
    const plain = proxyFiles(place('plain'), settings);
    for (const text of hostile) {
      const files = proxyFiles(place(text), settings);
      assert.deepEqual([...files.keys()], [...plain.keys()]);
      assert.equal(files.get('haproxy.cfg'), plain.get('haproxy.cfg'), 'no word of a user is in the configuration');
      const [data = ''] = (files.get('router.lua') ?? '').split('\n-- Decides');
      const [wanted = ''] = (plain.get('router.lua') ?? '').split('\n-- Decides');
      // oxlint-disable-next-line no-control-regex
      assert.match(data, /^[\x20-\x7e\n]*$/);
      const [hosts, known] = [shape(data), shape(wanted)];
      // A host name may be a wildcard, or none; nothing else has another form.
      if (!hosts.includes('wild={[') && !hosts.includes('any={n'))
        assert.equal(hosts, known, JSON.stringify(text.slice(0, 40)));
    }
  }
});

test('words that stand in the configuration itself are refused unless they are plain', () => {
  for (const text of hostile.concat('a.b', '10.0.0.1', '10.0.0.1:80 check', '[::1]:80;'))
    assert.throws(() => addressWord(text), /is no address/);
  assert.equal(addressWord('10.0.0.1:80'), '10.0.0.1:80');
  assert.match(serverName('[fd00::1]:80'), /^s_[0-9a-f_]+$/);
  assert.equal(luaText('/a"b\nc'), '"/a\\x22b\\x0ac"');
  const certificate = { certPem: 'x', keyPem: 'y' };
  for (const hostname of hostile.filter(each => each !== ''))
    assert.throws(
      () =>
        proxyFiles(
          {
            ports: [
              {
                id: 'a/b:80',
                number: 443,
                listeners: [{ type: 'https', hostname, certificates: [certificate], entries: [] }],
              },
            ],
            backends: new Map(),
          },
          settings,
        ),
      /is no host name/,
    );
});

test('HAProxy loads what was made of hostile words', {
  skip: !existsSync('/usr/sbin/haproxy') && 'haproxy is missing',
}, () => {
  const directory = mkdtempSync(join(tmpdir(), 'windlass-proxy-'));
  try {
    mkdirSync(join(directory, 'empty'));
    const all = places.map(place => place(hostile.join('')));
    const model = {
      ...all[0],
      ports: all.flatMap(({ ports }, index) => ports.map(port => ({ ...port, id: String(index) }))),
    } as ProxyModel;
    const localPorts = new Map(all.map((_, index) => [String(index), 61_300 + index]));
    for (const [name, text] of proxyFiles(model, { ...settings, localPorts }))
      writeFileSync(join(directory, name), text);
    const { status, stderr } = spawnSync('/usr/sbin/haproxy', ['-c', '-f', 'haproxy.cfg'], {
      cwd: directory,
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
