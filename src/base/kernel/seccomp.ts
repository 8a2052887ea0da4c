import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { libc } from './libc.ts';

/** A system call filter in the OCI runtime specification's words. */
export interface FilterRules {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly syscalls: readonly {
    readonly names: readonly string[];
    readonly action: string;
    readonly errnoRet?: number;
    readonly args?: readonly unknown[];
  }[];
}

interface Argument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: string;
}

/**
 * Compiles a filter to the kernel's byte code by libseccomp, which the container runtime brings. A runtime that is
 * given the code does not compile it anew for each container. `undefined` where that is not possible, or where the
 * filter uses what is not known here: then the runtime has to compile it itself. The scratch file must not exist.
 */
export function compileFilter(rules: FilterRules, scratchFile: string): Buffer | undefined {
  const calls = openLibrary();
  const plan = calls && planOf(rules);
  if (!calls || !plan) return undefined;
  const context = calls.seccomp_init(plan.defaultAction);
  if (context === 0n) return undefined;
  try {
    const alreadyThere = -17;
    for (const token of plan.architectures) {
      const added = calls.seccomp_arch_add(context, token);
      if (added !== 0 && added !== alreadyThere) return undefined;
    }
    for (const rule of plan.rules)
      for (const name of rule.names) {
        const number = calls.seccomp_syscall_resolve_name(name);
        const unknown = -1;
        // The list knows calls of newer kernels than the library does.
        if (number === unknown || rule.action === plan.defaultAction) continue;
        if (calls.seccomp_rule_add_array(context, rule.action, number, rule.argumentCount, rule.arguments) !== 0)
          return undefined;
      }
    const file = openSync(scratchFile, 'wx', 0o600);
    try {
      if (calls.seccomp_export_bpf(context, file) !== 0) return undefined;
    } finally {
      closeSync(file);
    }
    const code = readFileSync(scratchFile);
    rmSync(scratchFile);
    return code;
  } finally {
    calls.seccomp_release(context);
  }
}

const actions: Readonly<Record<string, number | undefined>> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x8000_0000,
  SCMP_ACT_TRAP: 0x0003_0000,
  SCMP_ACT_ERRNO: 0x0005_0000,
  SCMP_ACT_LOG: 0x7ffc_0000,
  SCMP_ACT_ALLOW: 0x7fff_0000,
};

const architectures: Readonly<Record<string, number | undefined>> = {
  SCMP_ARCH_X86: 0x4000_0003,
  SCMP_ARCH_X86_64: 0xc000_003e,
  SCMP_ARCH_X32: 0x4000_003e,
  SCMP_ARCH_ARM: 0x4000_0028,
  SCMP_ARCH_AARCH64: 0xc000_00b7,
};

const comparisons: Readonly<Record<string, number | undefined>> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

function planOf(rules: FilterRules) {
  const defaultAction = actionOf(rules.defaultAction, rules.defaultErrnoRet);
  const tokens = (rules.architectures ?? []).map(name => architectures[name]);
  const planned = rules.syscalls.map(({ names, action, errnoRet, args = [] }) => ({
    names,
    action: actionOf(action, errnoRet),
    argumentCount: args.length,
    arguments: argumentsOf(args as readonly Argument[]),
  }));
  const known = planned.every(rule => rule.action !== undefined && rule.arguments !== undefined);
  if (defaultAction === undefined || tokens.includes(undefined) || !known) return undefined;
  return {
    defaultAction,
    architectures: tokens as readonly number[],
    rules: planned as readonly { names: readonly string[]; action: number; argumentCount: number; arguments: Buffer }[],
  };
}

/** EPERM unless it says otherwise. */
function actionOf(name: string, errno = 1): number | undefined {
  const action = actions[name];
  return name === 'SCMP_ACT_ERRNO' && action !== undefined ? action | (errno & 0xffff) : action;
}

/** `struct scmp_arg_cmp[]`: which argument, how, and two 64-bit operands. */
function argumentsOf(args: readonly Argument[]): Buffer | undefined {
  const bytes = Buffer.alloc(Math.max(1, args.length) * 24);
  for (const [position, { index, value, valueTwo = 0, op }] of args.entries()) {
    const comparison = comparisons[op];
    if (comparison === undefined) return undefined;
    const at = position * 24;
    bytes.writeUInt32LE(index, at);
    bytes.writeUInt32LE(comparison, at + 4);
    bytes.writeBigUInt64LE(BigInt(value), at + 8);
    bytes.writeBigUInt64LE(BigInt(valueTwo), at + 16);
  }
  return bytes;
}

type Library = NonNullable<ReturnType<typeof load>>;
let library: Library | false | undefined;

function openLibrary(): Library | undefined {
  library ??= load() ?? false;
  return library || undefined;
}

function load() {
  const ffi = libc && process.getBuiltinModule('node:ffi');
  if (!ffi) return undefined;
  try {
    return ffi.dlopen('libseccomp.so.2', {
      seccomp_init: { arguments: ['uint32'], return: 'pointer' },
      seccomp_release: { arguments: ['pointer'], return: 'void' },
      seccomp_arch_add: { arguments: ['pointer', 'uint32'], return: 'int32' },
      seccomp_syscall_resolve_name: { arguments: ['string'], return: 'int32' },
      seccomp_rule_add_array: { arguments: ['pointer', 'uint32', 'int32', 'uint32', 'buffer'], return: 'int32' },
      seccomp_export_bpf: { arguments: ['pointer', 'int32'], return: 'int32' },
    }).functions;
  } catch {
    // The library is not there: crun compiles filters itself, or was built without.
    return undefined;
  }
}
