import { Report, type FieldError } from '#api/machinery/validation.ts';
import type { Level, Standard } from './standards.ts';

/** What a namespace asks of its pods. */
export interface Policy {
  readonly enforce: Standard;
  readonly audit: Standard;
  readonly warn: Standard;
}

/** Upstream's PodSecurityConfiguration: what holds for namespaces that say nothing, and whom nobody asks. */
export interface PodSecurityConfiguration {
  readonly defaults?: PodSecurityDefaults | undefined;
  readonly exemptions?:
    | {
        readonly usernames?: readonly string[];
        readonly runtimeClasses?: readonly string[];
        readonly namespaces?: readonly string[];
      }
    | undefined;
}

/** By the names of the labels: `enforce`, `enforce-version`, `audit`, … */
export type PodSecurityDefaults = Readonly<Record<string, string>>;

const prefix = 'pod-security.kubernetes.io/';
const levels: readonly Level[] = ['privileged', 'baseline', 'restricted'];
const privileged: Standard = { level: 'privileged', version: 'latest' };

/** A policy from a namespace's labels. What cannot be read is restricted where it is enforced, and nothing where it only speaks. */
export function policyOf(
  labels: Readonly<Record<string, string>> = {},
  defaults: PodSecurityDefaults = {},
): {
  readonly policy: Policy;
  readonly errors: readonly FieldError[];
} {
  const report = new Report().at('metadata', 'labels');
  const read = (mode: string, otherwise: Level): Standard => ({
    level: readLevel(labels, mode, otherwise, defaults, report),
    version: readVersion(labels, `${mode}-version`, defaults, report),
  });
  const enforce = read('enforce', 'restricted');
  const audit = read('audit', 'privileged');
  const warn = read('warn', 'privileged');
  return { policy: { enforce, audit, warn: defaultWarning(labels, enforce, warn) }, errors: report.errors };
}

/** -1: less strict. */
export function compareLevels(left: Level, right: Level): number {
  return Math.sign(levels.indexOf(left) - levels.indexOf(right));
}

/** Without a word about warnings, people are warned of what is enforced on their controllers' pods. */
function defaultWarning(labels: Readonly<Record<string, string>>, enforce: Standard, warn: Standard): Standard {
  const explicit = levels.includes(labels[`${prefix}enforce`] as Level);
  if (!explicit || `${prefix}warn` in labels || compareLevels(enforce.level, warn.level) <= 0) return warn;
  return { level: enforce.level, version: `${prefix}warn-version` in labels ? warn.version : enforce.version };
}

function readLevel(
  labels: Readonly<Record<string, string>>,
  mode: string,
  otherwise: Level,
  defaults: PodSecurityDefaults,
  report: Report,
): Level {
  const key = `${prefix}${mode}`;
  const value = labels[key];
  if (value === undefined) return (defaults[mode] as Level | undefined) ?? privileged.level;
  if (levels.includes(value as Level)) return value as Level;
  report.key(key).invalid(value, `must be one of ${levels.join(', ')}`);
  return otherwise;
}

function readVersion(
  labels: Readonly<Record<string, string>>,
  mode: string,
  defaults: PodSecurityDefaults,
  report: Report,
): 'latest' | number {
  const key = `${prefix}${mode}`;
  const value = labels[key] ?? defaults[mode];
  if (value === undefined || value === 'latest') return 'latest';
  const minor = /^v1\.(\d|[1-9]\d{1,8})$/.exec(value)?.[1];
  if (minor !== undefined) return Number(minor);
  report.key(key).invalid(value, 'must be "latest" or "v1.x"');
  return 'latest';
}
