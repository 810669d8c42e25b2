/** Addresses and networks as kube-proxy reads them: leading zeros of IPv4 count for nothing. */
import { parseAddress } from '../model/address.ts';
import { parseCidr } from '../model/cidr.ts';

const withoutZeros = (text: string): string => (text.includes(':') ? text : text.replace(/(^|\.)0+(?=\d)/g, '$1'));

/** @returns the address in its canonical form; 010.0.0.1 is 10.0.0.1. */
export const sloppyAddress = (text: string): ReturnType<typeof parseAddress> => parseAddress(withoutZeros(text));

/** @returns the network, or undefined for a bare address and everything else. */
export const sloppyCidr = (text: string): ReturnType<typeof parseCidr> => parseCidr(withoutZeros(text));
