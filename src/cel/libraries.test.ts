import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Authorizer, authorizerType, type Check, requestResourceOf, resourceCheckType } from './authorizer.ts';
import { declDyn, declObject, declString, declValue } from './declarations.ts';
import { celEnvironment } from './environment.ts';
import { CelObject } from './values.ts';

const environment = celEnvironment({ variables: { object: declDyn } });

function evaluate(expression: string) {
  const compiled = environment.compile(expression);
  if (compiled.issues !== undefined) assert.fail(`${expression}: ${compiled.issues}`);
  return compiled.evaluate({ object: {} });
}

/** Expressions that are true. */
const truths: Readonly<Record<string, readonly string[]>> = {
  lists: [
    '[1, 2, 2].isSorted() && !["b", "a"].isSorted() && [].isSorted()',
    '[1, 3].sum() == 4 && [1.5, 2.5].sum() == 4.0 && [duration("1s")].sum() == duration("1s")',
    '[1u, 4u].max() == 4u && ["b", "a"].min() == "a"',
    '[1, 2, 2, 3].indexOf(2) == 1 && [1, 2, 2, 3].lastIndexOf(2) == 2 && [1].indexOf(7) == -1',
    '[1, 2, 3, 4].slice(1, 3) == [2, 3] && [[1], [2, 3]].flatten() == [1, 2, 3]',
    '[[[1]], [[2, 3]]].flatten(2) == [1, 2, 3] && lists.range(3) == [0, 1, 2]',
    '[3, 1, 2].sort() == [1, 2, 3] && [1, 2, 3].reverse() == [3, 2, 1] && [1, 1, 2].distinct() == [1, 2]',
    '[{"n": "b"}, {"n": "a"}].sortBy(e, e.n) == [{"n": "a"}, {"n": "b"}]',
    '[1, 2].first() == optional.of(1) && [1, 2].last().value() == 2 && [].first() == optional.none()',
  ],
  regex: [
    '"abc 123".find("[0-9]+") == "123" && "abc".find("[0-9]+") == ""',
    '"123 abc 456".findAll("[0-9]+") == ["123", "456"] && "123 abc 456".findAll("[0-9]+", 1) == ["123"]',
    '"aaa".findAll("a*") == ["aaa"] && "héé".findAll("é") == ["é", "é"] && "ab".findAll("") == ["", "", ""]',
    '"foobar".find("(?i)OB") == "ob" && "a\\nb".findAll("(?m)^.") == ["a", "b"] && "x-y".find("\\\\by") == "y"',
    '"abcd".find("a|ab|abc") == "a" && "aXbX".find("a.*?X") == "aX"',
  ],
  urls: [
    'url("https://user:pass@example.com:80/a%20b?k=v&k=w#f").getHost() == "example.com:80"',
    'url("https://example.com:80/").getPort() == "80" && url("https://[::1]:80/").getHostname() == "::1"',
    'url("https://example.com/a b/").getEscapedPath() == "/a%20b/" && url("/abs").getScheme() == ""',
    'url("https://x/?k=a&k=b&s=%20+").getQuery() == {"k": ["a", "b"], "s": ["  "]}',
    'isURL("https://x") && isURL("/a") && !isURL("../a") && !isURL("https://a:b/") && !isURL("")',
  ],
  quantity: [
    'quantity("1.5Gi").compareTo(quantity("1536Mi")) == 0 && quantity("1k") == quantity("1000")',
    'isQuantity("10Mi") && !isQuantity("10Mo") && !isQuantity("") && isQuantity("1e3")',
    'quantity("50k").add(quantity("20")) == quantity("50.02k") && quantity("50k").sub(20) == quantity("49980")',
    'quantity("50000000G").isInteger() && !quantity("0.5").isInteger() && quantity("2k").asInteger() == 2000',
    'sign(quantity("-1")) == -1 && quantity("500m").asApproximateFloat() == 0.5',
    'quantity("1").isLessThan(quantity("2")) && quantity("1G").isGreaterThan(quantity("1M"))',
  ],
  addresses: [
    'ip("192.168.0.1").family() == 4 && ip("::1").isLoopback() && ip("0.0.0.0").isUnspecified()',
    'isIP("2001:db8::1") && !isIP("1.2.3") && !isIP("::ffff:1.2.3.4") && !isIP("fe80::1%eth0")',
    'ip.isCanonical("2001:db8::68") && !ip.isCanonical("2001:DB8::68")',
    'ip("224.0.0.1").isLinkLocalMulticast() && ip("fe80::1").isLinkLocalUnicast() && ip("8.8.8.8").isGlobalUnicast()',
    'cidr("192.168.1.5/24").masked() == cidr("192.168.1.0/24") && cidr("10.0.0.0/8").prefixLength() == 8',
    'cidr("10.0.0.0/8").containsIP("10.1.1.1") && !cidr("10.0.0.0/8").containsIP(ip("11.0.0.1"))',
    'cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16") && !cidr("10.1.0.0/16").containsCIDR(cidr("10.0.0.0/8"))',
    'string(ip("::1")) == "::1" && string(cidr("10.0.0.1/8")) == "10.0.0.1/8" && cidr("10.0.0.1/8").ip() == ip("10.0.0.1")',
    'type(ip("::1")) == net.IP && type(cidr("::/0")) == net.CIDR && isCIDR("::/0") && !isCIDR("::/129")',
  ],
  formats: [
    '!format.dns1123Label().validate("good-name").hasValue()',
    'format.dns1123Label().validate("a.b").value() == ["must not contain dots"]',
    'format.named("dns1123Subdomain").value().validate("A").hasValue() && !format.named("nothing").hasValue()',
    '!format.uuid().validate("123e4567-e89b-12d3-a456-426614174000").hasValue()',
    '!format.date().validate("2024-02-29").hasValue() && format.date().validate("2023-02-29").hasValue()',
    '!format.datetime().validate("2024-01-01T00:00:00Z").hasValue() && format.byte().validate("!").hasValue()',
    '!format.labelValue().validate("").hasValue() && format.qualifiedName().validate("a/b/c").hasValue()',
    '!format.dns1035LabelPrefix().validate("abc-").hasValue() && format.uri().validate("../x").hasValue()',
  ],
  semver: [
    'semver("1.2.3-rc.1").isLessThan(semver("1.2.3")) && semver("1.10.0").isGreaterThan(semver("1.9.0"))',
    'semver("v1.0", true) == semver("1.0.0") && !isSemver("v1.0") && isSemver("v01.1", true)',
    'semver("1.2.3").major() == 1 && semver("1.2.3").minor() == 2 && semver("1.2.3").patch() == 3',
    'semver("1.0.0+a") == semver("1.0.0+b") && semver("1.0.0-a.1").compareTo(semver("1.0.0-a.b")) == -1',
  ],
  sets: ['sets.contains([1, 2, 3], [2, 3])', 'sets.equivalent([1, 2], [2, 1, 1])', '!sets.intersects([1], [2])'],
  strings: [
    '"tacocat".charAt(3) == "o" && "héllo".charAt(1) == "é" && "a👑b".substring(1, 2) == "👑"',
    '"ta👑ca👑".indexOf("👑", 3) == 5 && "abcabc".lastIndexOf("b") == 4 && "abc".indexOf("") == 0',
    '"a-b-c".replace("-", "+", 1) == "a+b-c" && "ab".replace("", "_") == "_a_b_"',
    '"a b c".split(" ", 2) == ["a", "b c"] && "ab".split("") == ["a", "b"] && ["a", "b"].join("-") == "a-b"',
    '"  \\u00a0x ".trim() == "x" && "HÉ".lowerAscii() == "hÉ" && strings.quote("a\\"\\n") == "\\"a\\\\\\"\\\\n\\""',
    '"%s|%d|%.2f|%x|%b|%o".format(["a", 5, 1.005, 255, true, 8]) == "a|5|1.00|ff|1|10"',
    '"%s".format([{"b": [1.5], "a": b"x"}]) == "{\\"a\\":b\\"x\\", \\"b\\":[1.500000]}"',
    '"%.1f".format([1234567.25]) == "1,234,567.2" && "%e".format([1052.0]) == "1.052000×10⁰³"',
    'jsonpatch.escapeKey("a/b~c") == "a~1b~0c"',
  ],
};

for (const [library, expressions] of Object.entries(truths)) {
  test(`${library}: what should be true is`, () => {
    for (const expression of expressions) {
      const { value, error } = evaluate(expression);
      assert.deepEqual({ expression, value, error: error?.message }, { expression, value: true, error: undefined });
    }
  });
}

const errors: readonly (readonly [expression: string, message: string])[] = [
  ['[].max()', 'max called on empty list'],
  ['[1, 2].slice(2, 1)', 'cannot slice(2, 1), start index must be less than or equal to end index'],
  ['"a".charAt(2)', 'index out of range: 2'],
  ['"abc".substring(2, 1)', 'invalid substring range. start: 2, end: 1'],
  ['url("../a")', 'URL parse error during conversion from string: parse "../a": invalid URI for request'],
  ['quantity("x")', "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"],
  ['quantity("0.5").asInteger()', 'cannot convert value to integer'],
  [
    'ip("192.168.0.1.0")',
    'IP Address "192.168.0.1.0" parse error during conversion from string: ParseAddr("192.168.0.1.0"): IPv4 address too long',
  ],
  ['ip("fe80::1%a")', 'IP address "fe80::1%a" with zone value is not allowed'],
  [
    'cidr("10.0.0.0")',
    'network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix("10.0.0.0"): no \'/\'',
  ],
  ['semver("1.0")', 'No Major.Minor.Patch elements found'],
  ['semver("01.0.0")', 'Major number must not contain leading zeroes "01"'],
  ['optional.none().value()', 'optional.none() dereference'],
];

test('what fails says so in upstream words', () => {
  for (const [expression, message] of errors) {
    assert.deepEqual({ expression, message: evaluate(expression).error?.message }, { expression, message });
  }
});

test('a constant that has no value is known before the expression runs', () => {
  const compiled = environment.compile('"x".find(")") == ""');
  assert.ok(compiled.issues === undefined);
  assert.equal(compiled.instantiationError, 'error parsing regexp: unexpected ): `)`');
  assert.equal(environment.compile('int("1")').issues, undefined);
});

const guarded = celEnvironment({
  variables: { authorizer: declValue(authorizerType), requestResource: declValue(resourceCheckType) },
});
const guardedRule =
  'authorizer.group("apps").resource("deployments").namespace("n").name("x").labelSelector("a=b").check("get").allowed()' +
  ' && authorizer.serviceAccount("ns", "sa").path("/healthz").check("get").reason() == "because"' +
  ' && requestResource.check("update").errored()';

function decide(check: Check) {
  if ('path' in check) return { allowed: false, reason: 'because' };
  return check.verb === 'get' ? { allowed: true } : { allowed: false, error: 'broken' };
}

test('authorization is asked what the expression says, once for each question', () => {
  const checks: Check[] = [];
  const authorizer = new Authorizer(check => {
    checks.push(check);
    return decide(check);
  });
  const request = { group: '', resource: 'pods', subresource: 'exec', namespace: 'n', name: 'p' };
  const requestResource = requestResourceOf(authorizer, request);
  const compiled = guarded.compile(guardedRule);
  assert.ok(compiled.issues === undefined);
  for (let run = 0; run < 2; run++) {
    const result = compiled.evaluate({ authorizer, requestResource }, { costLimit: 2_000_000 });
    assert.equal(result.error?.message, undefined);
    assert.equal(result.value, true);
    assert.ok(result.cost > 3 * 350_000);
  }
  assert.deepEqual(checks, [
    {
      verb: 'get',
      serviceAccount: undefined,
      group: 'apps',
      resource: 'deployments',
      subresource: '',
      namespace: 'n',
      name: 'x',
      labelSelector: 'a=b',
    },
    { verb: 'get', serviceAccount: { namespace: 'ns', name: 'sa' }, path: '/healthz' },
    { verb: 'update', serviceAccount: undefined, ...request },
  ]);
  assert.equal(compiled.evaluate({ authorizer, requestResource }).error?.costExceeded, true);
});

test('an authorizer may answer later', async () => {
  const authorizer = new Authorizer(async check => decide(check));
  const requestResource = requestResourceOf(authorizer, {
    group: '',
    resource: 'pods',
    subresource: '',
    namespace: '',
    name: '',
  });
  const compiled = guarded.compile(guardedRule);
  assert.ok(compiled.issues === undefined);
  assert.match(compiled.evaluate({ authorizer, requestResource }).error?.message ?? '', /evaluateAsync/);
  const fresh = new Authorizer(async check => decide(check));
  const result = await compiled.evaluateAsync(
    { authorizer: fresh, requestResource: requestResourceOf(fresh, requestResource.attributes) },
    { costLimit: 2_000_000 },
  );
  assert.equal(result.value, true);
});

test('objects are made by the names that an environment knows', () => {
  const open = celEnvironment({ types: [declObject('Object', new Map(), 2, true)] });
  const compiled = open.compile('Object{spec: Object.spec{replicas: 1 + 1, ?name: optional.none()}}');
  assert.ok(compiled.issues === undefined);
  assert.equal(compiled.outputType.text, 'Object');
  const { value } = compiled.evaluate({});
  assert.ok(value instanceof CelObject);
  const spec = value.field('spec');
  assert.ok(spec instanceof CelObject);
  assert.deepEqual([spec.type.text, spec.names(), spec.field('replicas')], ['Object.spec', ['replicas'], 2]);
  const patch = declObject('JSONPatch', new Map([['op', { property: 'op', type: declString() }]]));
  const closed = celEnvironment({ types: [patch] });
  assert.match(
    closed.compile('JSONPatch{op: 1}').issues ?? '',
    /expected type of field 'op' is 'string' but provided type is 'int'/,
  );
  assert.match(closed.compile('JSONPatch{no: 1}').issues ?? '', /undefined field 'no'/);
  assert.match(closed.compile('Other{}').issues ?? '', /undeclared reference to 'Other' \(in container ''\)/);
});
