import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { execFailure } from '../../../src/host/exec.js';
import { HamletError } from '../../../src/lib/errors.js';
import { ended, script, startChildren } from './children-fixture.js';

/** A program of this machine's with the number of an architecture that no machine here has (elf.h: EM_S390). */
function foreignProgram(file: string): void {
  const program = readFileSync('/bin/true');
  program.writeUInt16LE(22, 18);
  writeFileSync(file, program, { mode: 0o755 });
}

/** Writes a file of mode 0755. */
function executable(file: string, content: string | Buffer): string {
  writeFileSync(file, content, { mode: 0o755 });
  return file;
}

void t.test('the ways in which a program cannot be executed are told apart', async (t) => {
  const { folder, children } = startChildren(t);
  const file = (name: string) => path.join(folder, name);
  writeFileSync(file('plain'), '#!/bin/sh\n', { mode: 0o644 });
  foreignProgram(file('foreign'));
  executable(file('text'), 'echo a shell would run this\n');
  executable(file('empty'), '');
  executable(file('cut-off'), readFileSync('/bin/true').subarray(0, 10));
  executable(file('no-interpreter'), '#!/no/such/interpreter\n');
  const cases: readonly (readonly [string, string, string, string])[] = [
    [file('missing'), 'NOT_FOUND', 'program-missing', `there is no program ${file('missing')}`],
    [file('plain'), 'PERMISSION_DENIED', 'not-executable', 'is not executable'],
    [folder, 'PERMISSION_DENIED', 'not-executable', 'is not a file'],
    [file('foreign'), 'FAILED_PRECONDITION', 'wrong-architecture', 'another architecture'],
    [file('text'), 'FAILED_PRECONDITION', 'wrong-format', 'neither a program nor a script'],
    [file('empty'), 'FAILED_PRECONDITION', 'wrong-format', 'neither a program nor a script'],
    [file('cut-off'), 'FAILED_PRECONDITION', 'wrong-format', 'neither a program nor a script'],
    [file('no-interpreter'), 'FAILED_PRECONDITION', 'wrong-format', 'interpreter or dynamic loader'],
  ];
  for (const [program, code, exec, message] of cases) {
    await t.rejects(
      children.spawn(script('a', '', { argv: [program] })),
      { code, details: { exec }, message: new RegExp(message) },
      program,
    );
  }
  const cwd = file('no-folder');
  await t.rejects(children.spawn(script('a', 'true', { cwd })), {
    code: 'FAILED_PRECONDITION',
    details: { exec: 'no-folder' },
    message: `there is no folder ${cwd}`,
  });
  await t.rejects(children.spawn(script('a', '', { argv: ['sh'] })), { code: 'INVALID_ARGUMENT' });
  t.same(children.all, [], 'nothing of it is on the table');
});

void t.test('a name is free again after a failed start', async (t) => {
  const { folder, children } = startChildren(t);
  const program = path.join(folder, 'program');
  const request = script('a', '', { argv: [program, 'argument'] });
  await t.rejects(children.spawn(request), { code: 'NOT_FOUND' });
  copyFileSync('/bin/true', program);
  chmodSync(program, 0o755);
  t.match(await children.spawn(request), { run: 1 }, 'and what never ran does not count as a run');
  t.match(await ended(children, 'a'), { exit: { code: 0 } });
});

void t.test('a shortage of the machine is not the fault of the program', async (t) => {
  for (const code of ['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM']) {
    const error = execFailure('/bin/true', Object.assign(new Error('spawn'), { code }));
    t.ok(error instanceof HamletError);
    t.match(error, { code: 'RESOURCE_EXHAUSTED', cause: { code } });
    t.equal(error.details.exec, 'shortage');
  }
  t.match(execFailure('/bin/true', new Error('odd')), { code: 'INTERNAL' });
  const denied = Object.assign(new Error('spawn'), { code: 'EACCES' });
  t.match(execFailure('/bin/true', denied), {
    code: 'PERMISSION_DENIED',
    details: { exec: 'not-executable' },
  });
});
