/**
 * A program that does nothing, for the first process of a process namespace that a pod's containers share: it lives as
 * long as the pod, and the kernel buries orphans for it because it ignores SIGCHLD. Two hundred bytes of ELF made here,
 * so that no image and no file of the host (which /proc/1/root would show to the containers) is needed.
 */
export function pauseProgram(architecture: string = process.arch): Buffer {
  const program = programs[architecture];
  if (!program) throw new Error(`cannot make a pause program: no machine code for ${architecture}`);
  const header = Buffer.alloc(headerBytes);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  const executable = 2;
  header.writeUInt16LE(executable, 16);
  header.writeUInt16LE(program.machine, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(loadAddress + BigInt(headerBytes), 24);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  const size = BigInt(headerBytes + program.code.length);
  const [load, readAndExecute] = [1, 5];
  header.writeUInt32LE(load, 64);
  header.writeUInt32LE(readAndExecute, 68);
  header.writeBigUInt64LE(loadAddress, 80);
  header.writeBigUInt64LE(loadAddress, 88);
  header.writeBigUInt64LE(size, 96);
  header.writeBigUInt64LE(size, 104);
  header.writeBigUInt64LE(0x10000n, 112);
  return Buffer.concat([header, program.code]);
}

/** The ELF header and one program header. */
const headerBytes = 120;
const loadAddress = 0x400000n;

/** The kernel's `struct sigaction` with SIG_IGN. */
const ignoreAction = Buffer.from([1, ...new Array<number>(31).fill(0)]);

const programs: Readonly<Record<string, { readonly machine: number; readonly code: Buffer } | undefined>> = {
  x64: {
    machine: 62,
    code: Buffer.concat([
      Buffer.from('b80d000000', 'hex'), // mov eax, 13 (rt_sigaction)
      Buffer.from('bf11000000', 'hex'), // mov edi, 17 (SIGCHLD)
      Buffer.from('488d3517000000', 'hex'), // lea rsi, [action]
      Buffer.from('31d2', 'hex'), // xor edx, edx
      Buffer.from('41ba08000000', 'hex'), // mov r10d, 8
      Buffer.from('0f05', 'hex'), // syscall
      Buffer.from('b822000000', 'hex'), // again: mov eax, 34 (pause)
      Buffer.from('0f05', 'hex'), // syscall
      Buffer.from('ebf7', 'hex'), // jmp again
      Buffer.alloc(4),
      ignoreAction,
    ]),
  },
  arm64: {
    machine: 183,
    code: Buffer.concat([
      words(
        move(8, 134), // rt_sigaction
        move(0, 17), // SIGCHLD
        0x10000001 | (((13 * 4 - 8) >> 2) << 5), // adr x1, action
        move(2, 0),
        move(3, 8),
        0xd4000001, // svc
        move(8, 73), // again: ppoll
        move(0, 0),
        move(1, 0),
        move(2, 0),
        move(3, 0),
        0xd4000001, // svc
        0x17fffffa, // b again
      ),
      ignoreAction,
    ]),
  },
};

function move(register: number, value: number): number {
  return 0xd2800000 | (value << 5) | register;
}

function words(...values: readonly number[]): Buffer {
  const code = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) code.writeUInt32LE(value >>> 0, index * 4);
  return code;
}
