/** The demo's lab has a fixed name, so that `make demo-down` finds it. */
export const DEMO_ID = 'demo';
