import { expect, it } from 'vitest';
import { UndoStack } from '../../src/daemon/undo-stack.ts';
import { silentLogger } from '../../src/log/log.ts';

function recorded() {
  const done: string[] = [];
  const stack = new UndoStack(silentLogger);
  stack.push('lock', () => void done.push('lock'));
  stack.pushForFailedStart('lease', async () => void done.push('lease'));
  stack.push('device', () => void done.push('device'));
  return { done, stack };
}

it('undoes everything in reverse order when the start fails', async () => {
  const { done, stack } = recorded();
  await stack.unwind();
  expect(done).toEqual(['device', 'lease', 'lock']);
});

it('keeps what is to survive a clean stop', async () => {
  const { done, stack } = recorded();
  stack.started();
  await stack.unwind();
  expect(done).toEqual(['device', 'lock']);
});

it('runs each step once, also those behind one that fails', async () => {
  const { done, stack } = recorded();
  stack.push('broken', () => {
    throw new Error('no');
  });
  stack.push('broken later', () => Promise.reject(new Error('no')));
  await stack.unwind();
  await stack.unwind();
  expect(done).toEqual(['device', 'lease', 'lock']);
});
