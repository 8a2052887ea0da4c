import { isDeepStrictEqual } from 'node:util';
import { formatCidr, formatIp, parseCidr, parseIp } from '#base/ip.ts';
import { nextCron, parseCron } from '#api/machinery/cron.ts';
import { formatGoDuration, parseGoDuration } from '#api/machinery/duration.ts';
import { parseJsonPath } from '#api/machinery/json-path.ts';
import {
  canonicalQuantity,
  compareQuantities,
  milliValue,
  parseQuantity,
  quantityError,
  wholeValue,
} from '#api/machinery/quantity.ts';
import {
  compileRequirements,
  formatFieldSelector,
  formatRequirements,
  parseFieldSelector,
  parseLabelSelector,
} from '#api/machinery/selector.ts';
import { canonicalMicroTime, canonicalTime } from '#api/machinery/time.ts';
import { readConfiguration } from '#dns/configuration.ts';
import { CorefileError } from '#dns/corefile.ts';
import {
  answersIn,
  detachedRecords,
  encodeName,
  parseQuery,
  parseResponse,
  questionOf,
  readName,
} from '#dns/message.ts';
import { parseRecord } from '#dns/presentation.ts';
import { bodyFormat, negotiate } from '#apiserver/media-type.ts';
import { parseContinue } from '#apiserver/continue-token.ts';
import { ApiError } from '#api/machinery/errors.ts';
import { holds, shown, type Target } from '../target.ts';

const plainError = (error: unknown) => error instanceof Error && error.constructor === Error;
const declaresApi = (error: unknown) => error instanceof ApiError && error.code >= 400 && error.code < 500;

const labelSets: readonly (Record<string, string> | undefined)[] = [
  undefined,
  {},
  { a: 'b' },
  { a: '1', 'b/c': 'b' },
  { a: '' },
];

const labels: Target = {
  name: 'label-selector',
  form: 'text',
  words: ['=', '==', '!=', '!', ',', '(', ')', ' in ', ' notin ', '>', '<', 'a', 'b/c', 'a.b/c', '1', '-', ' '],
  seeds: () => ['a=b,c in (d,e),!f', 'x notin (a,), y>1,z<2', 'a==b,c!=d,example.com/e', 'a in ()', 'in in (in)'],
  declares: plainError,
  run(input) {
    const requirements = parseLabelSelector(input.toString());
    const text = formatRequirements(requirements);
    const again = parseLabelSelector(text);
    holds(formatRequirements(again) === text, () => `${shown(text)} becomes ${shown(formatRequirements(again))}`);
    const [first, second] = [requirements, again].map(compileRequirements);
    for (const set of labelSets)
      holds(first?.(set) === second?.(set), () => `${shown(text)} selects otherwise: ${shown(set)}`);
    return requirements.map(({ operator }) => operator).join();
  },
};

const fields: Target = {
  name: 'field-selector',
  form: 'text',
  words: ['=', '==', '!=', ',', '\\', '\\,', '\\=', 'metadata.name', 'spec.nodeName', 'a', ''],
  seeds: () => ['metadata.name=x,status.phase!=Running', 'a==b\\,c\\=d\\\\', ',,a=,'],
  declares: plainError,
  run(input) {
    const requirements = parseFieldSelector(input.toString());
    const again = parseFieldSelector(formatFieldSelector(requirements));
    holds(isDeepStrictEqual(again, requirements), () => `${shown(requirements)} becomes ${shown(again)}`);
    return `${requirements.length}`;
  },
};

const quantities: Target = {
  name: 'quantity',
  form: 'text',
  words: [
    '1',
    '0',
    '.',
    '-',
    '+',
    'e',
    'E',
    'm',
    'n',
    'u',
    'k',
    'K',
    'Ki',
    'Mi',
    'Gi',
    'Ti',
    'Pi',
    'Ei',
    'M',
    'G',
    '1e3',
    '999999999999999999',
    '0.000000001',
  ],
  seeds: () => [
    '100m',
    '1.5Gi',
    '2e3',
    '-0.5',
    '1Ei',
    '123456789012345678901234567890',
    '.5',
    '1.',
    '+1e-3',
    '0.0000000001',
  ],
  declares: () => false,
  run(input) {
    const text = input.toString();
    const quantity = parseQuantity(text);
    holds((quantity === undefined) === (quantityError(text) !== undefined), () => 'an error and a value, or neither');
    const canonical = canonicalQuantity(text);
    holds((quantity === undefined) === (canonical === undefined), () => 'a canonical form of nothing');
    for (const number of [milliValue(text), wholeValue(text)])
      holds(typeof number === 'number' && !Number.isNaN(number), () => `${number} is no number`);
    if (quantity === undefined || canonical === undefined) return `refused ${quantityError(text)}`;
    const again = parseQuantity(canonical);
    holds(
      again !== undefined && compareQuantities(again, quantity) === 0,
      () => `${shown(text)} becomes ${shown(canonical)}`,
    );
    holds(canonicalQuantity(canonical) === canonical, () => `${canonical} becomes ${canonicalQuantity(canonical)}`);
    // What a double can say must be near.
    const near = /^[-+]?(?:\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : undefined;
    if (near !== undefined && Math.abs(near) < 1e15)
      holds(
        Math.abs(Number(quantity.nano) / 1e9 - near) <= Math.abs(near) * 1e-9 + 1e-9,
        () => `${text} is ${quantity.nano} billionths`,
      );
    return `${quantity.format} ${canonical.replaceAll(/\d+/g, '0')}`;
  },
};

const durations: Target = {
  name: 'duration',
  form: 'text',
  words: ['1', '.', '-', '+', 'h', 'm', 's', 'ms', 'us', 'µs', 'ns', '0', '9999999999', '1.5'],
  seeds: () => ['1h30m', '250ms', '-1.5h', '.5s', '1us1ns', '0', '+5s', '2562047h47m16.854s'],
  declares: plainError,
  run(input) {
    const ms = parseGoDuration(input.toString());
    holds(Number.isFinite(ms), () => `${ms} ms`);
    const text = formatGoDuration(ms);
    const again = parseGoDuration(text);
    holds(Math.abs(again - ms) <= Math.abs(ms) * 1e-12 + 1e-6, () => `${ms} ms becomes ${text}, ${again} ms`);
    return text.replaceAll(/\d+/g, '0');
  },
};

class Refused extends Error {}

const times: Target = {
  name: 'time',
  form: 'text',
  words: [
    '2026',
    '-01',
    '-02-29',
    'T',
    'Z',
    ':00',
    '.000000',
    '.123456',
    '.5',
    '+01:00',
    '-23:59',
    '+24:00',
    '0000',
    '0001',
    '9999',
    ' ',
  ],
  seeds: () => [
    '2026-01-01T00:00:00Z',
    '2026-01-01T00:00:00.123456Z',
    '2024-02-29T23:59:59+01:30',
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59-14:00',
    '0000-01-01T00:00:00+01:00',
  ],
  declares: error => error instanceof Refused,
  run(input) {
    const text = input.toString();
    const refuse = (message: string): never => {
      throw new Refused(message);
    };
    let way = '';
    for (const canonical of [canonicalTime, canonicalMicroTime]) {
      try {
        const once = canonical(text, refuse);
        way += once === undefined ? ' zero' : ` ${once.length}`;
        if (once === undefined) continue;
        holds(canonical(once, refuse) === once, () => `${once} becomes ${canonical(once, refuse)}`);
        holds(!Number.isNaN(Date.parse(once)), () => `${once} is no time to others`);
        holds(
          Math.abs(Date.parse(once) - Date.parse(text.replace(',', '.'))) < 1_000 ||
            Number.isNaN(Date.parse(text.replace(',', '.'))),
          () => `${text} becomes ${once}`,
        );
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        way += ' refused';
      }
    }
    return way;
  },
};

const crons: Target = {
  name: 'cron',
  form: 'text',
  words: [
    '*',
    '*/5',
    '1-5',
    '1,2',
    '?',
    'L',
    'MON',
    'JAN',
    '@hourly',
    '@every 1h',
    '31',
    '2',
    '29 2',
    '0',
    '60',
    'TZ=UTC ',
    ' ',
    '/',
    '-',
  ],
  seeds: () => ['*/5 * * * *', '0 0 29 2 *', '0 0 31 2 *', '1-5,7 0-23/2 1 JAN-MAR MON', '@daily', '@every 90s'],
  declares: plainError,
  run(input) {
    const schedule = parseCron(input.toString());
    const nowMs = Date.UTC(2026, 0, 1);
    for (const zone of ['UTC', 'Europe/Berlin']) {
      const next = nextCron(schedule, nowMs, zone);
      if (next === undefined) continue;
      holds(next > nowMs && Number.isFinite(next), () => `the next time is ${next}`);
    }
    return `${nextCron(schedule, nowMs) === undefined ? 'never' : 'some day'}`;
  },
};

const paths: Target = {
  name: 'json-path',
  form: 'text',
  words: [
    '.',
    '..',
    '[',
    ']',
    '[*]',
    '[0]',
    '[-1]',
    '[0:2:1]',
    "['a']",
    '[?(@.a=="b")]',
    '@',
    '.a',
    '*',
    '\\.',
    '"',
    "'",
    '==',
    '>',
    '(',
    ')',
    ',',
  ],
  seeds: () => [
    '.metadata.name',
    ".status.conditions[?(@.type=='Ready')].status",
    '.spec.containers[*].image',
    "..name['a','b'][0:1]",
    '.a\\.b',
  ],
  declares: plainError,
  run(input) {
    const value = { a: { b: [1, 2, { a: 'b' }] }, metadata: { name: 'x' }, __proto__: null };
    const found = parseJsonPath(input.toString())(value);
    holds(Array.isArray(found), () => 'it finds no list');
    return `${found.length}`;
  },
};

const addresses: Target = {
  name: 'address',
  form: 'text',
  words: ['.', ':', '::', '/', '0', '1', '255', '256', 'ffff', '10.0.0.1', '/24', '/128', '%eth0', '00'],
  seeds: () => ['10.0.0.1', '::1', '::ffff:10.0.0.1', 'fd00::/8', '10.0.0.0/24', '1:2:3:4:5:6:7:8', '010.0.0.1'],
  declares: () => false,
  run(input) {
    const text = input.toString();
    const ip = parseIp(text);
    if (ip) holds(isDeepStrictEqual(parseIp(formatIp(ip)), ip), () => `${text} becomes ${formatIp(ip)}`);
    const cidr = parseCidr(text);
    if (cidr) holds(isDeepStrictEqual(parseCidr(formatCidr(cidr)), cidr), () => `${text} becomes ${formatCidr(cidr)}`);
    return `${ip?.family} ${cidr?.prefixLength}`;
  },
};

const offer = { protobuf: true, transforms: true, stream: false };

const headers: Target = {
  name: 'media-type',
  form: 'text',
  words: [
    'application/json',
    'application/yaml',
    'application/vnd.kubernetes.protobuf',
    ';',
    ',',
    'as=Table',
    'v=v1',
    'g=meta.k8s.io',
    'q=0.5',
    'charset=utf-8',
    '*/*',
    '=',
    '"',
    ' ',
  ],
  seeds: () => [
    'application/json;as=Table;v=v1;g=meta.k8s.io,application/json',
    'application/yaml;q=0.9, */*;q=0.1',
    'application/vnd.kubernetes.protobuf, application/json',
  ],
  declares: declaresApi,
  run(input) {
    const text = input.toString();
    try {
      bodyFormat(text, true);
    } catch (error) {
      if (!declaresApi(error)) throw error;
    }
    const { format, as } = negotiate(text, offer);
    return `${format} ${as}`;
  },
};

const tokens: Target = {
  name: 'continue-token',
  form: 'json',
  words: ['v', 'rv', 'start', 'meta.k8s.io/v1', '../', 'a/b', '/'],
  seeds: () => [
    '{"v":"meta.k8s.io/v1","rv":5,"start":"default/a"}',
    '{"v":"meta.k8s.io/v1","rv":-1,"start":"a\\u0000"}',
  ],
  declares: declaresApi,
  run(input) {
    const { revision, start } = parseContinue(input.toString('base64url'), '/registry/pods/');
    holds(start.startsWith('/registry/pods/') && !start.includes('/../'), () => `it goes on at ${shown(start)}`);
    return typeof revision;
  },
};

const corefile: Target = {
  name: 'corefile',
  form: 'text',
  words: [
    '{',
    '}',
    '\n',
    '#',
    '"',
    '(a)',
    'import a',
    '.',
    '.:53',
    'forward . 10.0.0.1',
    'cache 30',
    'kubernetes cluster.local',
    'pods insecure',
    'rewrite name a b',
    'rewrite name regex (.*) {1}',
    'template IN A',
    'answer "{{ .Name }} 60 IN A 10.0.0.1"',
    'hosts',
    'fallthrough',
    'ttl 5',
    'errors',
    'health',
    'ready',
    'reload',
    'loop',
    'loadbalance',
    'prometheus :9153',
    'log',
    '10.0.0.0/24',
    'tls://1.1.1.1',
    '{$HOME}',
    '\\',
  ],
  seeds: () => [
    '.:53 {\n  errors\n  health {\n    lameduck 5s\n  }\n  ready\n  kubernetes cluster.local in-addr.arpa ip6.arpa {\n    pods insecure\n    fallthrough in-addr.arpa ip6.arpa\n    ttl 30\n  }\n  prometheus :9153\n  forward . 10.0.0.1 {\n    max_concurrent 1000\n  }\n  cache 30\n  loop\n  reload\n  loadbalance\n}\n',
    '(snip) {\n  errors\n}\nexample.org, example.com:1053 {\n  import snip\n  hosts {\n    10.0.0.1 a.example.org\n    fallthrough\n  }\n  rewrite name regex (.*)\\.a\\.b {1}.c.d answer auto\n  template IN A example.org {\n    match "^(?P<x>.*)$"\n    answer "{{ .Name }} 60 IN A 10.0.0.1"\n  }\n}\n',
  ],
  declares: error => error instanceof CorefileError,
  async run(input) {
    const { servers } = await readConfiguration({
      corefile: input.toString(),
      files: new Map([['hosts', '10.0.0.1 a b\n::1 c\n']]),
      nodeUpstreams: [],
    });
    return `${servers.length} ${servers.map(({ zones }) => zones.length).join()}`;
  },
};

const query = questionOf('a.b', 1);
const answer = Buffer.concat([query.message, Buffer.from('c00c0001000100000005000401020304', 'hex')]);
answer.writeUInt16BE(0x8180, 2);
answer.writeUInt16BE(1, 6);

const names: Target = {
  name: 'dns-message',
  form: 'bytes',
  seeds: () => [
    query.message,
    answer,
    Buffer.from('abcd010000010000000000010377777706676f6f676c6503636f6d00000100010000291000000000000000', 'hex'),
  ],
  declares: () => false,
  run(input) {
    const parsed = parseQuery(input);
    if (parsed && 'query' in parsed && parsed.query)
      holds(parsed.query.name.length < 256, () => 'the name is too long');
    const response = parseResponse(input, query, query.message.readUInt16BE(0));
    if (response) {
      answersIn(response.message);
      detachedRecords(response.message);
    }
    for (let at = 0; at < Math.min(input.length, 64); at++) {
      const name = readName(input, at);
      holds(name === undefined || name.length < 2_000, () => `a name of ${name?.length} characters`);
    }
    return `${parsed === undefined ? 'none' : parsed.code} ${response?.records.length}`;
  },
};

const records: Target = {
  name: 'dns-record',
  form: 'text',
  words: [
    'IN',
    'A',
    'AAAA',
    'CNAME',
    'MX',
    'SRV',
    'TXT',
    'SOA',
    'PTR',
    'NS',
    '60',
    '"',
    '\\',
    '10.0.0.1',
    '::1',
    'a.b.',
    '.',
    ' ',
  ],
  seeds: () => [
    'example.org. 60 IN A 10.0.0.1',
    'a. IN TXT "x y" "z\\""',
    '_s._tcp.a. SRV 1 2 3 b.',
    'a. SOA b. c. 1 2 3 4 5',
    'a. MX 10 b.',
  ],
  declares: plainError,
  run(input) {
    const { type, wire } = parseRecord(input.toString());
    holds(wire.length < 70_000, () => `${wire.length} bytes`);
    encodeName(
      input
        .toString('latin1')
        .slice(0, 60)
        .replaceAll(/[^a-z.]/g, 'a')
        .replaceAll(/\.+/g, '.')
        .replace(/^\./, ''),
    );
    return `${type}`;
  },
};

export const textTargets: readonly Target[] = [
  labels,
  fields,
  quantities,
  durations,
  times,
  crons,
  paths,
  addresses,
  headers,
  tokens,
  corefile,
  names,
  records,
];
