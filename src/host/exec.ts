import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { HamletError, errnoOf, type ErrorCode } from '../lib/errors.js';
import { isShortage } from '../platform/shortage.js';

/** What e_machine of an ELF header says (elf.h), by Node's names of the architectures that Hamlet runs on. */
const elfMachines: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };
const elfMagic = Buffer.from('\x7fELF', 'latin1');
const elfMachineOffset = 18;
const headBytes = 20;

/** Why a program cannot be executed; `exec` in the details of the error that says so. */
export type ExecProblem =
  'no-folder' | 'program-missing' | 'not-executable' | 'wrong-architecture' | 'wrong-format' | 'shortage';

/**
 * Checks that a program can be executed in a folder. It is looked at first because an attempt tells less: execvp(3)
 * has /bin/sh run what the kernel does not know, a binary of another architecture too, and a missing folder looks like
 * a missing program. Throws NOT_FOUND, PERMISSION_DENIED, FAILED_PRECONDITION or RESOURCE_EXHAUSTED with an ExecProblem
 * in its details.
 */
export function checkProgram(file: string, folder: string): void {
  if (!path.isAbsolute(file)) {
    throw new HamletError('INVALID_ARGUMENT', `"${file}" is not the absolute path of a program`);
  }
  if (!isFolder(folder)) throw failure('FAILED_PRECONDITION', 'no-folder', `there is no folder ${folder}`);
  if (!existsSync(file)) throw failure('NOT_FOUND', 'program-missing', `there is no program ${file}`);
  const head = readHead(file);
  if (!isProgram(head)) {
    throw failure('FAILED_PRECONDITION', 'wrong-format', `${file} is neither a program nor a script`);
  }
  if (!isOfThisArchitecture(head)) {
    const message = `${file} is built for another architecture; this machine is ${process.arch}`;
    throw failure('FAILED_PRECONDITION', 'wrong-architecture', message);
  }
}

/** Names what kept a checked program from being executed after all. */
export function execFailure(file: string, cause: unknown): HamletError {
  const errno = errnoOf(cause);
  if (isShortage(cause)) {
    const message = `the machine has nothing left to start ${file} with`;
    return failure('RESOURCE_EXHAUSTED', 'shortage', message, cause);
  }
  if (errno === 'ENOENT') {
    const message = `the interpreter or dynamic loader of ${file} is missing`;
    return failure('FAILED_PRECONDITION', 'wrong-format', message, cause);
  }
  if (errno === 'EACCES' || errno === 'EPERM') {
    return failure('PERMISSION_DENIED', 'not-executable', `${file} may not be executed`, cause);
  }
  return new HamletError('INTERNAL', `${file} could not be executed`, { cause });
}

/** The first bytes of a program. Throws PERMISSION_DENIED for what is no executable file. */
function readHead(file: string): Buffer {
  let fd: number | undefined;
  try {
    accessSync(file, constants.X_OK);
    fd = openSync(file, 'r');
    if (!fstatSync(fd).isFile()) {
      throw failure('PERMISSION_DENIED', 'not-executable', `${file} is not a file`);
    }
    const head = Buffer.alloc(headBytes);
    return head.subarray(0, readSync(fd, head));
  } catch (cause) {
    if (isShortage(cause)) throw execFailure(file, cause);
    if (errnoOf(cause) !== 'EACCES') throw cause;
    throw failure('PERMISSION_DENIED', 'not-executable', `${file} is not executable`, cause);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function isProgram(head: Buffer): boolean {
  return isScript(head) || (head.length >= headBytes && head.subarray(0, elfMagic.length).equals(elfMagic));
}

function isOfThisArchitecture(head: Buffer): boolean {
  return isScript(head) || head.readUInt16LE(elfMachineOffset) === elfMachines[process.arch];
}

function isScript(head: Buffer): boolean {
  return head.toString('latin1', 0, 2) === '#!';
}

function isFolder(folder: string): boolean {
  try {
    return statSync(folder).isDirectory();
  } catch {
    return false;
  }
}

function failure(code: ErrorCode, exec: ExecProblem, message: string, cause?: unknown): HamletError {
  return new HamletError(code, message, { cause, details: { exec } });
}
