// The vendor's KiteTicker, unmodified, in a process of its own.
//
// Usage: node ticker.cjs ROOT MODES, where MODES is JSON: {"full": [tokens], ...}. Says a line of JSON for each
// thing that happens: {"event": "connect"}, {"frame": hex} for a binary message, {"ticks": [...]} for what the
// client makes of it, {"order": {...}}, and {"event": "close", "code": 1006}.
'use strict';
const { KiteTicker } = require('kiteconnect');

const [root, modes] = [process.argv[2], JSON.parse(process.argv[3])];
const ticker = new KiteTicker({ api_key: 'js-key', access_token: 'the-token', root: root + '/' });

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

// It never resubscribes by itself; `connect` also comes after each reconnect.
ticker.on('connect', () => {
  say({ event: 'connect' });
  for (const [mode, tokens] of Object.entries(modes)) {
    ticker.subscribe(tokens);
    ticker.setMode(mode, tokens);
  }
});
ticker.on('message', (frame) => say({ frame: Buffer.from(frame).toString('hex') }));
ticker.on('ticks', (ticks) => say({ ticks }));
ticker.on('order_update', (order) => say({ order }));
ticker.on('close', (event) => say({ event: 'close', code: event.code }));
ticker.connect();
