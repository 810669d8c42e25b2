/** An option's number from 1 upward. */
import { InvalidArgumentError } from 'commander';

/** @throws InvalidArgumentError */
export function positive(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1) throw new InvalidArgumentError('It must be a number from 1 upward.');
  return number;
}
