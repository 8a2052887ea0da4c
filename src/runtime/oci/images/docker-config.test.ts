import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isRuntimeError } from '../../runtime.ts';
import { findPullCredentials } from './docker-config.ts';

const secret = (...keys: string[]) =>
  JSON.stringify({ auths: Object.fromEntries(keys.map(key => [key, { username: key, password: 'p' }])) });
const names = (image: string, ...keys: string[]) =>
  findPullCredentials([secret(...keys)], image).map(({ username }) => username);

describe('pull secrets', () => {
  it('fit by host and path, the most specific first', () => {
    assert.deepEqual(names('reg.io/team/app', 'reg.io', 'reg.io/team', 'reg.io/other', 'other.io'), [
      'reg.io/team',
      'reg.io',
    ]);
    assert.deepEqual(names('busybox', 'https://index.docker.io/v1/'), ['https://index.docker.io/v1/']);
    assert.deepEqual(names('reg.io:5000/a', 'reg.io', 'https://reg.io:5000/v2/'), ['https://reg.io:5000/v2/']);
  });

  it('take wildcards for labels of the host only', () => {
    assert.deepEqual(names('a.reg.io/x', '*.reg.io'), ['*.reg.io']);
    assert.deepEqual(names('eu-1.reg.io/x', 'eu-*.reg.io', 'us-*.reg.io'), ['eu-*.reg.io']);
    assert.deepEqual(names('a.b.reg.io/x', '*.reg.io'), []);
    assert.deepEqual(names('reg.io.evil.com/x', 'reg.io', '*.io'), []);
  });

  it('are read in both forms', () => {
    const old = JSON.stringify({ 'reg.io': { auth: 'dTpw' } });
    assert.deepEqual(findPullCredentials([old], 'reg.io/a'), [{ auth: 'dTpw' }]);
    assert.throws(
      () => findPullCredentials(['{'], 'reg.io/a'),
      error => isRuntimeError(error, 'InvalidArgument'),
    );
    assert.deepEqual(findPullCredentials(['{"auths":{"__proto__":{"auth":"x"}}}'], 'reg.io/a'), []);
  });
});
