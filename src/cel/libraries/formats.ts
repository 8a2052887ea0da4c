import { parseTimestamp, daysIn } from '../time.ts';
import { global, type Library, method } from '../functions.ts';
import { type CelType, listOf, optionalOf, stringType, structOf } from '../types.ts';
import { CelList, none, Opaque, Optional, type Result, Timestamp } from '../values.ts';
import { requestUriProblem } from './urls.ts';

const formatType: CelType = structOf('kubernetes.NamedFormat');

class NamedFormat extends Opaque {
  readonly type: CelType = formatType;
  readonly name: string;
  readonly problems: (text: string) => readonly string[];
  /** Of the pattern that upstream would run, for the cost. */
  readonly regexSizeMax: number;

  constructor(name: string, regexSizeMax: number, problems: (text: string) => readonly string[]) {
    super();
    this.name = name;
    this.problems = problems;
    this.regexSizeMax = regexSizeMax;
  }

  equals(other: Opaque): boolean {
    return other instanceof NamedFormat && this.name === other.name;
  }
}

const dateTimePatternLength = 86;
const uuidPatternLength = 85;

const formats: ReadonlyMap<string, NamedFormat> = new Map([
  ['dns1123Label', new NamedFormat('DNS1123Label', 30, label)],
  ['dns1123Subdomain', new NamedFormat('DNS1123Subdomain', 60, subdomain)],
  ['dns1035Label', new NamedFormat('DNS1035Label', 30, label1035)],
  ['qualifiedName', new NamedFormat('QualifiedName', 60, qualifiedName)],
  ['dns1123LabelPrefix', new NamedFormat('DNS1123LabelPrefix', 30, text => label(withoutDash(text)))],
  ['dns1123SubdomainPrefix', new NamedFormat('DNS1123SubdomainPrefix', 60, text => subdomain(withoutDash(text)))],
  ['dns1035LabelPrefix', new NamedFormat('DNS1035LabelPrefix', 30, text => label1035(withoutDash(text)))],
  ['labelValue', new NamedFormat('LabelValue', 40, labelValue)],
  [
    'uri',
    new NamedFormat('URI', 1103, text => {
      const problem = requestUriProblem(text);
      return problem === undefined ? [] : [problem];
    }),
  ],
  ['uuid', new NamedFormat('uuid', uuidPatternLength, unless(isUuid, 'does not match the UUID format'))],
  ['byte', new NamedFormat('byte', 84, unless(isBase64, 'invalid base64'))],
  ['date', new NamedFormat('date', dateTimePatternLength, unless(isDate, 'invalid date'))],
  ['datetime', new NamedFormat('datetime', dateTimePatternLength, unless(isDateTime, 'invalid datetime'))],
]);

/** Kubernetes' own named formats: `format.dns1123Label().validate(text)`. */
export const formatsLibrary: Library = [
  [
    'validate',
    method(
      'format-validate',
      [formatType, stringType],
      optionalOf(listOf(stringType)),
      (format: NamedFormat, text: string) => {
        const problems = format.problems(text);
        return problems.length === 0 ? none : new Optional(new CelList(problems));
      },
    ),
  ],
  [
    'format.named',
    global('format-named', [stringType], optionalOf(formatType), (name: string): Result => {
      const format = formats.get(name);
      return format === undefined ? none : new Optional(format);
    }),
  ],
  ...Array.from(formats, ([name, format]): Library[number] => [
    `format.${name}`,
    global(`format.${name}`, [], formatType, () => format),
  ]),
];

function unless(good: (text: string) => boolean, problem: string): (text: string) => readonly string[] {
  return text => (good(text) ? [] : [problem]);
}

const labelFormat = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const keyFormat = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const keyExamples = "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is";

const subdomainProblem = `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${labelFormat}(\\.${labelFormat})*')`;
const keyProblem = `must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character ${keyExamples} '${keyFormat}')`;

function label(text: string): string[] {
  const problems = tooLong(text, 63, 'bytes');
  if (isLabel(text)) return problems;
  if (isSubdomain(text)) return [...problems, 'must not contain dots'];
  return [
    ...problems,
    `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${labelFormat}')`,
  ];
}

function subdomain(text: string): string[] {
  const problems = tooLong(text, 253, 'bytes');
  return isSubdomain(text) ? problems : [...problems, subdomainProblem];
}

function label1035(text: string): string[] {
  const problems = tooLong(text, 63, 'bytes');
  if (isLabel(text) && /^[a-z]/.test(text)) return problems;
  return [
    ...problems,
    `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
  ];
}

function labelValue(text: string): string[] {
  const problems = tooLong(text, 63, 'bytes');
  if (text === '' || isKey(text)) return problems;
  return [
    ...problems,
    `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(${keyFormat})?')`,
  ];
}

function qualifiedName(text: string): string[] {
  const parts = text.split('/');
  if (parts.length > 2) {
    return [`a qualified name ${keyProblem} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  }
  const problems: string[] = [];
  if (parts.length === 2) {
    const prefix = parts[0] as string;
    if (prefix === '') problems.push('prefix part must be non-empty');
    else problems.push(...subdomain(prefix).map(problem => `prefix part ${problem}`));
  }
  const name = parts.at(-1) as string;
  if (name === '') problems.push('name part must be non-empty');
  else problems.push(...tooLong(name, 63, 'bytes').map(problem => `name part ${problem}`));
  if (!isKey(name)) problems.push(`name part ${keyProblem}`);
  return problems;
}

function tooLong(text: string, lengthMax: number, unit: string): string[] {
  return Buffer.byteLength(text) > lengthMax ? [`must be no more than ${lengthMax} ${unit}`] : [];
}

/** A prefix may end in a dash; it is judged without. */
function withoutDash(text: string): string {
  return text.length > 1 && text.endsWith('-') ? `${text.slice(0, -2)}a` : text;
}

function isLabel(text: string): boolean {
  return /^[a-z0-9][-a-z0-9]*$/.test(text) && !text.endsWith('-');
}

function isSubdomain(text: string): boolean {
  return text.split('.').every(isLabel);
}

function isKey(text: string): boolean {
  return /^[A-Za-z0-9][-A-Za-z0-9_.]*$/.test(text) && /[A-Za-z0-9]$/.test(text);
}

function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(text);
}

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text);
}

function isDate(text: string): boolean {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text);
  if (match === null) return false;
  const [year, month, day] = match.slice(1).map(Number) as [number, number, number];
  return month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);
}

function isDateTime(text: string): boolean {
  return text.length >= 4 && parseTimestamp(text.replace(/^(\S{10})t/, '$1T').replace(/z$/, 'Z')) instanceof Timestamp;
}
