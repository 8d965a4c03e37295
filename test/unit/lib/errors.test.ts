import { readFileSync } from 'node:fs';
import { status } from '@grpc/grpc-js';
import t from 'tap';
import {
  HamletError,
  codeOf,
  errnoOf,
  errorCodes,
  isHamletError,
  messageOf,
} from '../../../src/lib/errors.js';

function caught(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

void t.test('the codes are those of gRPC, all but the one for success', async (t) => {
  const names = Object.keys(status).filter((name) => Number.isNaN(Number(name)) && name !== 'OK');
  t.same([...errorCodes].sort(), names.sort());
});

void t.test('an error keeps its code, its cause and its details', async (t) => {
  const cause = new Error('below');
  const error = new HamletError('NOT_FOUND', 'no such thing', { cause, details: { name: 'thing' } });
  t.match(error, {
    name: 'HamletError',
    code: 'NOT_FOUND',
    message: 'no such thing',
    details: { name: 'thing' },
  });
  t.equal(error.cause, cause);
  t.notOk('cause' in new HamletError('INTERNAL', 'alone'));
  t.ok(isHamletError(error));
  t.ok(isHamletError(error, 'NOT_FOUND'));
  t.notOk(isHamletError(error, 'INTERNAL'));
  t.notOk(isHamletError(cause));
});

void t.test('anything thrown has a code', async (t) => {
  t.equal(codeOf(new HamletError('ABORTED', '')), 'ABORTED');
  t.equal(codeOf(AbortSignal.abort().reason), 'CANCELLED');
  t.equal(codeOf(new DOMException('late', 'TimeoutError')), 'DEADLINE_EXCEEDED');
  t.equal(codeOf(new Error('odd')), 'INTERNAL');
  t.equal(codeOf('a string'), 'INTERNAL');
  t.equal(codeOf(undefined), 'INTERNAL');
});

void t.test('a message is followed by those of its causes, none of them twice', async (t) => {
  const root = new Error('connection refused');
  const middle = new Error('etcd does not answer', { cause: root });
  t.equal(
    messageOf(new Error('no PKI', { cause: middle })),
    'no PKI: etcd does not answer: connection refused',
  );
  t.equal(messageOf(new Error('no PKI: connection refused', { cause: root })), 'no PKI: connection refused');
  t.equal(messageOf('a string'), "'a string'");
  t.equal(messageOf(new Error('x', { cause: { odd: 1 } })), 'x: { odd: 1 }');
  t.equal(messageOf(new TypeError('')), 'TypeError');
  t.equal(messageOf(undefined), 'unknown error');
  const circle = new Error('round');
  circle.cause = circle;
  t.equal(messageOf(circle), 'round');
});

void t.test('the errno of a system error is its name, and nothing else has one', async (t) => {
  t.equal(errnoOf(caught(() => readFileSync('/no/such/file'))), 'ENOENT');
  t.equal(errnoOf(Object.assign(new Error(), { code: 'ERR_INVALID_ARG_TYPE' })), undefined);
  t.equal(errnoOf(Object.assign(new Error(), { code: 5 })), undefined);
  t.equal(errnoOf(new HamletError('NOT_FOUND', '')), undefined);
  t.equal(errnoOf({ code: 'ENOENT' }), undefined);
  t.equal(errnoOf(undefined), undefined);
});
