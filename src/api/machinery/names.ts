import { formatCidr, formatIp, networkOf, parseCidr, parseIp } from '#base/ip.ts';

/*
 * Rules for names and other short texts. Each function answers with upstream's messages, none when the text is good.
 * The patterns stand in the messages; the checks themselves are linear in the length of the text.
 */

type Messages = readonly string[];
const none: Messages = [];

const labelFormat = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const subdomainFormat = `${labelFormat}(\\.${labelFormat})*`;
const underscoreLabelFormat = '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const underscoreSubdomainFormat = `${underscoreLabelFormat}(\\.${underscoreLabelFormat})*`;
const dns1035Format = '[a-z]([-a-z0-9]*[a-z0-9])?';
const wildcardFormat = `\\*\\.${subdomainFormat}`;
const labelKeyFormat = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const labelValueFormat = `(${labelKeyFormat})?`;
const envNameFormat = '[-._a-zA-Z][-._a-zA-Z0-9]*';

/** RFC 1123 label, at most 63 characters: `my-name`. */
export function isDNS1123Label(text: string): Messages {
  const messages = tooLong(text, 63, 'characters');
  if (matchesLabel(text)) return messages;
  messages.push(
    matchesSubdomain(text)
      ? 'must not contain dots'
      : regexError(
          "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
          labelFormat,
          'my-name',
          '123-abc',
        ),
  );
  return messages;
}

/** RFC 1123 subdomain, at most 253 characters: `example.com`. */
export function isDNS1123Subdomain(text: string): Messages {
  const messages = tooLong(text, 253, 'characters');
  if (!matchesSubdomain(text)) messages.push(subdomainError);
  return messages;
}

export function isDNS1123SubdomainWithUnderscore(text: string): Messages {
  const messages = tooLong(text, 253, 'characters');
  const good = text.split('.').every(part => /^_?[a-z0-9][-_a-z0-9]*$/.test(part) && /[a-z0-9]$/.test(part));
  if (!good)
    messages.push(
      regexError(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
        underscoreSubdomainFormat,
        'example.com',
      ),
    );
  return messages;
}

/** RFC 1035 label, as names of Services: starts with a letter. */
export function isDNS1035Label(text: string): Messages {
  const messages = tooLong(text, 63, 'characters');
  if (!matchesLabel(text) || !/^[a-z]/.test(text))
    messages.push(
      regexError(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
        dns1035Format,
        'my-name',
        'abc-123',
      ),
    );
  return messages;
}

/** `*.example.com` */
export function isWildcardDNS1123Subdomain(text: string): Messages {
  const messages = tooLong(text, 253, 'characters');
  if (!text.startsWith('*.') || !matchesSubdomain(text.slice(2)))
    messages.push(
      regexError(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
        wildcardFormat,
        '*.example.com',
      ),
    );
  return messages;
}

/** Keys of labels and annotations, finalizers, condition types, resource names: `example.com/name` or `name`. */
export function isQualifiedName(text: string): Messages {
  if (qualifiedNames.has(text)) return none;
  const messages = problemsOfQualifiedName(text);
  if (messages.length > 0) return messages;
  if (qualifiedNames.size >= rememberedNamesMax) qualifiedNames.clear();
  qualifiedNames.add(text);
  return none;
}

/** Names that were found good: a cluster uses the same few keys for all its objects. */
const qualifiedNames = new Set<string>();
const rememberedNamesMax = 4_096;

function problemsOfQualifiedName(text: string): Messages {
  const parts = text.split('/', 3);
  if (parts.length > 2)
    return [
      `a valid label key ${labelKeyError} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  const name = parts[parts.length - 1] as string;
  const messages: string[] = [];
  if (parts.length === 2) {
    const prefix = parts[0] as string;
    if (prefix === '') messages.push('prefix part must be non-empty');
    else {
      if (byteLength(prefix) > 253) messages.push('prefix part must be no more than 253 bytes');
      if (!matchesSubdomain(prefix)) messages.push(`prefix part ${subdomainError}`);
    }
  }
  if (name === '') messages.push('name part must be non-empty');
  else if (byteLength(name) > 63) messages.push('name part must be no more than 63 bytes');
  if (!matchesLabelKey(name)) messages.push(`name part ${labelKeyError}`);
  return messages.length === 0 ? none : messages;
}

export function isLabelValue(text: string): Messages {
  if (text === '') return none;
  const messages = tooLong(text, 63, 'bytes');
  if (!matchesLabelKey(text))
    messages.push(
      regexError(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        labelValueFormat,
        'MyValue',
        'my_value',
        '12345',
      ),
    );
  return messages;
}

export function isCIdentifier(text: string): Messages {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(text)) return none;
  return [
    regexError(
      "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
      '[A-Za-z_][A-Za-z0-9_]*',
      'my_name',
      'MY_NAME',
      'MyName',
    ),
  ];
}

/** The strict rule for environment variables; since v1.30 the server takes `isRelaxedEnvVarName`. */
export function isEnvVarName(text: string): Messages {
  const messages: string[] = [];
  if (!/^[-._a-zA-Z][-._a-zA-Z0-9]*$/.test(text))
    messages.push(
      regexError(
        "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
        envNameFormat,
        'my.env-name',
        'MY_ENV.NAME',
        'MyEnvName1',
      ),
    );
  return [...messages, ...parentDirectory(text)];
}

/** Any printable ASCII but `=`. */
export function isRelaxedEnvVarName(text: string): Messages {
  if (text === '') return ['environment variable name must be non-empty'];
  if (/^[ -<>-~]*$/.test(text)) return none;
  return ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** Keys of ConfigMaps and Secrets. */
export function isConfigMapKey(text: string): Messages {
  const messages = tooLong(text, 253, 'characters');
  if (!/^[-._a-zA-Z0-9]+$/.test(text))
    messages.push(
      regexError(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        '[-._a-zA-Z0-9]+',
        'key.name',
        'KEY_NAME',
        'key-name',
      ),
    );
  return [...messages, ...parentDirectory(text)];
}

/** IANA service names: names of ports. */
export function isPortName(text: string): Messages {
  const messages = tooLong(text, 15, 'characters');
  if (!/^[-a-z0-9]+$/.test(text))
    messages.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(text)) messages.push('must contain at least one letter (a-z)');
  if (text.includes('--')) messages.push('must not contain consecutive hyphens');
  if (text.startsWith('-') || text.endsWith('-')) messages.push('must not begin or end with a hyphen');
  return messages;
}

export function isPortNumber(port: number): Messages {
  return isInRange(port, 1, 65_535);
}

export function isInRange(value: number, min: number, max: number): Messages {
  return value >= min && value <= max ? none : [`must be between ${min} and ${max}, inclusive`];
}

export function isUserId(id: number): Messages {
  return isInRange(id, 0, 2_147_483_647);
}

export function isGroupId(id: number): Messages {
  return isInRange(id, 0, 2_147_483_647);
}

/** `25%` */
export function isPercent(text: string): Messages {
  if (/^[0-9]+%$/.test(text)) return none;
  return [
    regexError("a valid percent string must be a numeric string followed by an ending '%'", '[0-9]+%', '1%', '93%'),
  ];
}

export function isHTTPHeaderName(text: string): Messages {
  if (/^[-A-Za-z0-9]+$/.test(text)) return none;
  return [
    regexError("a valid HTTP header must consist of alphanumeric characters or '-'", '[-A-Za-z0-9]+', 'X-Header-Name'),
  ];
}

/** Names that can stand in a URL: what RBAC objects may be called. */
export function isPathSegmentName(text: string): Messages {
  if (text === '.' || text === '..') return [`may not be '${text}'`];
  return ['/', '%'].filter(part => text.includes(part)).map(part => `may not contain '${part}'`);
}

/** An address as upstream takes it in fields that were always there: canonical form is not asked for. */
export function isIP(text: string): Messages {
  const address = parseIp(text);
  if (address) return address.mapped ? ['must not be an IPv4-mapped IPv6 address'] : none;
  return [
    parseIp(withoutLeadingZeros(text))
      ? 'must not have leading 0s'
      : 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
  ];
}

/** An address in newer fields: canonical form only. */
export function isCanonicalIP(text: string): Messages {
  const messages = isIP(text);
  const address = parseIp(text);
  if (messages.length > 0 || !address) return messages;
  const canonical = formatIp(address);
  return text === canonical ? none : [`must be in canonical form (${JSON.stringify(canonical)})`];
}

/** A network as upstream takes it in fields that were always there. */
export function isCIDR(text: string): Messages {
  const network = parseCidr(text);
  if (!network) {
    const [address = '', length = ''] = text.split('/');
    const without = `${withoutLeadingZeros(address)}/${length.replace(/^0+(?=\d)/, '')}`;
    return [
      parseCidr(without)
        ? 'must not have leading 0s in IP or prefix length'
        : 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ];
  }
  if (network.address.mapped) return ['must not have an IPv4-mapped IPv6 address'];
  if (networkOf(network).value !== network.address.value) return ['must not have bits set beyond the prefix length'];
  return none;
}

/** A network in newer fields: canonical form only. */
export function isCanonicalCIDR(text: string): Messages {
  const messages = isCIDR(text);
  const network = parseCidr(text);
  if (messages.length > 0 || !network) return messages;
  const canonical = formatCidr(network);
  return text === canonical ? none : [`must be in canonical form (${JSON.stringify(canonical)})`];
}

/** A name with at least three segments: signer names, node-reported features. */
export function isFullyQualifiedName(text: string): Messages {
  const messages = isDNS1123Subdomain(text);
  if (messages.length > 0) return [messages.join(',')];
  if (text.split('.').length >= 3) return none;
  return ['should be a domain with at least three segments separated by dots'];
}

export function isConditionReason(text: string): Messages {
  if (/^[A-Za-z][A-Za-z0-9_,:]*$/.test(text) && /[A-Za-z0-9_]$/.test(text)) return none;
  return [
    regexError(
      "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
      '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?',
      'my_name',
      'MY_NAME',
      'MyName',
      'ReasonA,ReasonB',
      'ReasonA:ReasonB',
    ),
  ];
}

/** A name to which something will be appended may end in a dash: judged as if it did not. */
export function asPrefix(name: string): string {
  return name.length > 1 && name.endsWith('-') ? `${name.slice(0, -2)}a` : name;
}

/** Length in UTF-8 bytes, as Go counts. */
export function byteLength(text: string): number {
  return Buffer.byteLength(text);
}

/** upstream's sentence for a text that does not match a pattern. */
export function regexError(message: string, format: string, ...examples: readonly string[]): string {
  if (examples.length === 0) return `${message} (regex used for validation is '${format}')`;
  const shown = examples.map(example => `'${example}', `).join(' or ');
  return `${message} (e.g. ${shown}regex used for validation is '${format}')`;
}

const subdomainError = regexError(
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
  subdomainFormat,
  'example.com',
);

const labelKeyError = regexError(
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  labelKeyFormat,
  'MyName',
  'my.name',
  '123-abc',
);

function tooLong(text: string, lengthMax: number, unit: 'characters' | 'bytes'): string[] {
  const fits = text.length * 3 <= lengthMax || byteLength(text) <= lengthMax;
  return fits ? [] : [`must be no more than ${lengthMax} ${unit}`];
}

function matchesLabel(text: string): boolean {
  return /^[a-z0-9][-a-z0-9]*$/.test(text) && !text.endsWith('-');
}

/** Letters, digits and dashes between dots, no dash beside a dot or an end. */
function matchesSubdomain(text: string): boolean {
  let boundary = true;
  let dash = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if ((code >= 97 && code <= 122) || (code >= 48 && code <= 57)) {
      boundary = false;
      dash = false;
    } else if (code === 45) {
      if (boundary) return false;
      dash = true;
    } else if (code === 46) {
      if (boundary || dash) return false;
      boundary = true;
    } else {
      return false;
    }
  }
  return !boundary && !dash;
}

function matchesLabelKey(text: string): boolean {
  return /^[A-Za-z0-9][-A-Za-z0-9_.]*$/.test(text) && /[A-Za-z0-9]$/.test(text);
}

function parentDirectory(text: string): Messages {
  if (text === '.' || text === '..') return [`must not be '${text}'`];
  return text.startsWith('..') ? ["must not start with '..'"] : none;
}

function withoutLeadingZeros(text: string): string {
  return text.replace(/(^|[.:])0+(?=\d)/g, '$1');
}
