import { closeSync, openSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { checked, libc, SystemError } from './libc.ts';
import {
  decodeAnswer,
  encodeChange,
  encodeLinkDump,
  type EncodeContext,
  type Link,
  type LinkChange,
} from './netlink-message.ts';
import type { NetlinkCall, NetlinkReply, Step } from './netlink.ts';

// The thread that talks to the kernel about links. Changes of links wait for other processors (RCU), which the main
// thread must not; and only a thread of its own may enter a pod's namespace. Everything here is synchronous.

if (!libc || !parentPort) throw new Error('cannot speak netlink: no ffi in this thread');
const calls = libc;
const port = parentPort;
const home = openSync('/proc/thread-self/ns/net', 'r');
const networkNamespace = 0x40000000;

port.on('message', (call: NetlinkCall) => port.postMessage(answer(call)));

function answer(call: NetlinkCall): NetlinkReply {
  try {
    if (call.call === 'links') return { links: within(call.netnsPath, dumpLinks) };
    for (const step of call.steps) within(step.netnsPath, socket => applyStep(socket, step));
    return { links: [] };
  } catch (error) {
    const code = error instanceof SystemError ? error.code : undefined;
    return { error: error instanceof Error ? error.message : String(error), code };
  }
}

const datagram = Buffer.alloc(64 * 1024);

function applyStep(socket: number, step: Step): void {
  for (const change of step.changes) {
    const opened: number[] = [];
    const context: EncodeContext = {
      indexOf: link => {
        const index = calls.if_nametoindex(link);
        if (index !== 0) return index;
        throw new SystemError(`${change.do} ${link}`, 'if_nametoindex', ENODEV);
      },
      openNetns: path => {
        const fd = openSync(path, 'r');
        opened.push(fd);
        return fd;
      },
    };
    try {
      send(socket, encodeChange(change, context), change.do);
      const { errno } = receive(socket, change.do);
      if (errno !== 0) throw new SystemError(`${change.do} ${subjectOf(change)}`, 'netlink', errno);
    } catch (error) {
      if (!(error instanceof SystemError) || !step.tolerate?.some(code => code === error.code)) throw error;
    } finally {
      for (const fd of opened) closeSync(fd);
    }
  }
}

function subjectOf(change: LinkChange): string {
  if ('name' in change) return change.name;
  return 'link' in change ? change.link : String(change.group);
}

function dumpLinks(socket: number): Link[] {
  send(socket, encodeLinkDump(), 'list links');
  const links: Link[] = [];
  while (true) {
    const part = receive(socket, 'list links');
    if (part.errno !== 0) throw new SystemError('list links', 'netlink', part.errno);
    links.push(...part.links);
    if (part.done) return links;
  }
}

function send(socket: number, message: Buffer, what: string): void {
  checked(calls, Number(calls.send(socket, message, BigInt(message.length), 0)), what, 'send');
}

function receive(socket: number, what: string) {
  const length = checked(calls, Number(calls.recv(socket, datagram, BigInt(datagram.length), 0)), what, 'recv');
  return decodeAnswer(datagram.subarray(0, length));
}

const ENODEV = 19;

function within<Value>(netnsPath: string | undefined, run: (socket: number) => Value): Value {
  const namespace = netnsPath === undefined ? undefined : openSync(netnsPath, 'r');
  try {
    if (namespace !== undefined)
      checked(calls, calls.setns(namespace, networkNamespace), `enter ${netnsPath}`, 'setns');
    const [netlinkFamily, rawCloseOnExec, route] = [16, 3 | 0o2000000, 0];
    const socket = checked(calls, calls.socket(netlinkFamily, rawCloseOnExec, route), 'open a socket', 'socket');
    try {
      return run(socket);
    } finally {
      closeSync(socket);
    }
  } finally {
    if (namespace !== undefined) {
      closeSync(namespace);
      // A thread that cannot come home must not serve again.
      if (calls.setns(home, networkNamespace) !== 0) process.exit(1);
    }
  }
}
