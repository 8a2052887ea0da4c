import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decode, encode, type Message } from './codec.ts';
import { enums } from './enums.ts';
import { messages } from './messages.ts';

describe('the codec of CRI', () => {
  it('writes the bytes that protobuf writes', () => {
    const message: Message<'ContainerConfig'> = {
      metadata: { name: 'a', attempt: 2 },
      command: ['x', 'yz'],
      envs: [{ key: 'k', value: Buffer.from([0xff]) }],
      labels: { l: 'v' },
      tty: true,
      linux: { security_context: { run_as_user: { value: 0 }, supplemental_groups: [1, 300] } },
      stop_signal: 'SIGTERM',
    };
    const expected = [
      '0a05 0a0161 1002',
      '1a01 78 1a02 797a',
      '3206 0a016b 1201ff',
      '4a06 0a016c 120176',
      '7001',
      '7a09 1207 2a00 4203 01ac02',
      '900117',
    ];
    assert.equal(encode('ContainerConfig', message).toString('hex'), expected.join('').replaceAll(' ', ''));
  });

  it('reads what it writes, with every field there', () => {
    const written = encode('PodSandboxStatus', {
      id: 'x',
      state: 'notReady',
      created_at: 1_795_169_892_003_456_789n,
      network: { ip: '10.0.0.1', additional_ips: [{ ip: 'fd00::1' }] },
      labels: Object.fromEntries([
        ['__proto__', 'plain'],
        ['constructor', ''],
      ]),
    });
    const {
      created_at: createdAt,
      metadata,
      labels,
      annotations,
      network,
      state,
    } = decode('PodSandboxStatus', written);
    assert.equal(createdAt, 1_795_169_892_003_456_789n);
    assert.equal(metadata, undefined);
    assert.deepEqual(Object.entries(labels), [
      ['__proto__', 'plain'],
      ['constructor', ''],
    ]);
    assert.deepEqual(annotations, {});
    assert.deepEqual(network, { ip: '10.0.0.1', additional_ips: [{ ip: 'fd00::1' }] });
    assert.equal(state, 'notReady');
  });

  it('keeps the ends of 64 bits apart', () => {
    const resources = encode('LinuxContainerResources', { cpu_quota: -1, oom_score_adj: -998 });
    assert.deepEqual(
      (({ cpu_quota, oom_score_adj }) => [cpu_quota, oom_score_adj])(decode('LinuxContainerResources', resources)),
      [-1, -998],
    );
    const limit = encode('HugepageLimit', { limit: 2n ** 64n - 1n });
    assert.equal(decode('HugepageLimit', limit).limit, 2n ** 64n - 1n);
  });

  it('reads over what it does not know, and takes lists of numbers both ways', () => {
    const unknownField = Buffer.from('f2bf0103616263', 'hex');
    const known = encode('Container', { id: 'x', state: 'running' });
    assert.equal(decode('Container', Buffer.concat([unknownField, known, unknownField])).state, 'running');
    const unknownState = Buffer.from('3063', 'hex');
    assert.equal(decode('Container', unknownState).state, 'created');
    const unpacked = Buffer.from('1801180318ac02', 'hex');
    assert.deepEqual(decode('LinuxContainerUser', unpacked).supplemental_groups, [1, 3, 300]);
  });

  it('refuses what is no message, and words that CRI lacks', () => {
    assert.throws(() => decode('Container', Buffer.from('0aff', 'hex')), /unexpected EOF/);
    assert.throws(() => encode('ContainerConfig', { stop_signal: 'SIGFOO' }), /cannot encode Signal "SIGFOO"/);
  });

  it('knows every type that the table names', () => {
    const scalars = new Set([
      'string',
      'bool',
      'bytes',
      'double',
      'int32',
      'uint32',
      'int64',
      'uint64',
      'map<string,string>',
    ]);
    const named = Object.values(messages).flatMap(fields =>
      Object.values(fields).map(([, type]: readonly [number, string]) => type.replace('[]', '')),
    );
    const unknown = named.filter(type => !scalars.has(type) && !(type in messages) && !(type in enums));
    assert.deepEqual(unknown, []);
    assert.equal(enums.Signal.indexOf('SIGRTMIN+15'), 50);
    assert.equal(enums.Signal.indexOf('SIGRTMAX'), 65);
  });
});
