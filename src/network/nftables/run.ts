import { spawn } from 'node:child_process';
import { checked, libc } from '#base/kernel/libc.ts';
import { closeSync } from 'node:fs';

/** Carries out a script of nft commands, all or nothing. Rejects with what nft said. */
export type NftRun = (script: string, signal?: AbortSignal) => Promise<void>;

const outputBytesMax = 64 * 1024;

// A process costs 3 ms of CPU and leaves ours free while it works; libnftables in our own process measured no better,
// because changes of set elements need no cache of the ruleset.
export const runNft: NftRun = async (script, signal) => {
  await spawnNft(['-f', '-'], script, signal);
};

export type NftFamily = 'inet' | 'bridge';

/** What `nft` says about a chain of a table (`inet t`); `undefined` when there is none. */
export async function listChain(table: string, chain: string, signal?: AbortSignal): Promise<string | undefined> {
  try {
    return await spawnNft(['list', 'chain', ...table.split(' '), chain], '', signal);
  } catch (error) {
    if (error instanceof Error && /No such file or directory/.test(error.message)) return undefined;
    throw error;
  }
}

/** Deletes a table with everything in it; none is fine. */
export function deleteTable(table: string, family: NftFamily = 'inet'): Promise<void> {
  return runNft(`add table ${family} ${table}\ndelete table ${family} ${table}\n`);
}

/**
 * The number of changes that the kernel's ruleset has seen, whoever made them: unchanged means nobody has touched
 * anything. `undefined` without ffi.
 */
export function rulesetGeneration(): number | undefined {
  if (!libc) return undefined;
  const [netlink, rawCloseOnExec, netfilter] = [16, 3 | 0o2000000, 12];
  const what = 'read the generation of the ruleset';
  const socket = checked(libc, libc.socket(netlink, rawCloseOnExec, netfilter), what, 'socket');
  try {
    const [nftablesGetGeneration, isRequest] = [(10 << 8) | 16, 1];
    const request = Buffer.alloc(20);
    request.writeUInt32LE(request.length, 0);
    request.writeUInt16LE(nftablesGetGeneration, 4);
    request.writeUInt16LE(isRequest, 6);
    checked(libc, Number(libc.send(socket, request, BigInt(request.length), 0)), what, 'send');
    const answer = Buffer.alloc(4096);
    checked(libc, Number(libc.recv(socket, answer, BigInt(answer.length), 0)), what, 'recv');
    // The first attribute behind both headers is the id, big-endian.
    const [attributeType, generationId] = [answer.readUInt16LE(22), 1];
    return attributeType === generationId ? answer.readUInt32BE(24) : undefined;
  } finally {
    closeSync(socket);
  }
}

function spawnNft(args: readonly string[], input: string, signal?: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('nft', args, { stdio: ['pipe', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (part: Buffer) => {
      if (stdout.length < outputBytesMax) stdout += part.toString();
    });
    child.stderr.on('data', (part: Buffer) => {
      if (stderr.length < outputBytesMax) stderr += part.toString();
    });
    child.on('error', error => reject(new Error(`cannot run nft: ${error.message}`, { cause: error })));
    child.on('close', code => {
      if (code === 0) resolve(stdout);
      else reject(new Error(`cannot change the ruleset: ${firstLines(stderr) || `nft ended with ${code}`}`));
    });
    // An nft that has ended early says why by its exit code.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

/** nft repeats a whole script of one line under its message. */
function firstLines(stderr: string): string {
  const lines = stderr.split('\n').filter(line => line.trim() !== '' && !/^[\s^~]*$/.test(line));
  return lines
    .slice(0, 4)
    .map(line => line.slice(0, 300))
    .join('; ');
}
