import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import {
  boolean,
  choice,
  duration,
  file,
  keptArguments,
  list,
  parseComponentArguments,
  wholeNumber,
} from './component.ts';
import { kubeApiserverFlags } from './kube-apiserver.ts';

const table = {
  'audit-policy-file': file('rules'),
  'authorization-mode': list('modes'),
  profiling: boolean('debugging'),
  'max-requests-inflight': wholeNumber('how many'),
  'request-timeout': duration('how long'),
  'audit-log-mode': choice('how', ['batch', 'blocking']),
};

test('flags are read by their names, with and without dashes', () => {
  const parsed = parseComponentArguments('kube-apiserver', table, [
    '--profiling',
    'authorization-mode=Node,RBAC',
    'authorization-mode=Webhook',
    'max-requests-inflight=400',
    'max-requests-inflight=500',
    'request-timeout=1m30s',
    'audit-log-mode=batch',
    'audit-policy-file=package.json',
  ]);
  assert.deepEqual(parsed, {
    profiling: true,
    'authorization-mode': ['Node', 'RBAC', 'Webhook'],
    'max-requests-inflight': 500,
    'request-timeout': 90_000,
    'audit-log-mode': 'batch',
    'audit-policy-file': resolve('package.json'),
  });
});

test('what is wrong is said in a sentence', () => {
  const wrong = {
    'prof=true': 'kube-apiserver has no flag "prof" here; known are audit-policy-file, authorization-mode, profiling,',
    '__proto__=1': 'kube-apiserver has no flag "__proto__" here',
    'profiling=yes': 'kube-apiserver profiling takes true or false, not "yes"',
    'max-requests-inflight=-1': 'kube-apiserver max-requests-inflight takes a whole number, not "-1"',
    'request-timeout=soon': 'kube-apiserver request-timeout takes a duration like 1h30m, not "soon"',
    'audit-log-mode=both': 'kube-apiserver audit-log-mode is one of batch, blocking, not "both"',
    'audit-policy-file=/nowhere.yaml': 'kube-apiserver audit-policy-file names a file that is not there: /nowhere.yaml',
  };
  for (const [word, sentence] of Object.entries(wrong))
    assert.throws(
      () => parseComponentArguments('kube-apiserver', table, [word]),
      (error: Error) => error.message.startsWith(sentence),
      word,
    );
  assert.throws(() => parseComponentArguments('kube-apiserver', kubeApiserverFlags, ['service-node-port-range=9']), {
    message: 'kube-apiserver service-node-port-range takes a range of ports like 30000-32767, not "9"',
  });
});

test('what is kept does not depend on where it was said', () => {
  assert.deepEqual(keptArguments(table, ['--audit-policy-file=a.yaml', 'profiling']), [
    `audit-policy-file=${resolve('a.yaml')}`,
    'profiling=true',
  ]);
});
