// The vendor's KiteConnect, unmodified: what it reads of the market, as one line of JSON.
//
// Usage: node rest.cjs ROOT SYMBOLS TOKEN FROM TO, where SYMBOLS is JSON.
'use strict';
const { KiteConnect } = require('kiteconnect');

async function main([root, symbols, token, from, to]) {
  const kite = new KiteConnect({ api_key: 'js-key', root, timeout: 60000 });
  kite.setAccessToken('the-token');
  const names = JSON.parse(symbols);
  return {
    instruments: await kite.getInstruments(),
    quote: await kite.getQuote(names),
    ohlc: await kite.getOHLC(names),
    ltp: await kite.getLTP(names),
    candles: await kite.getHistoricalData(Number(token), 'minute', from, to, false, true),
  };
}

main(process.argv.slice(2)).then((read) => console.log(JSON.stringify(read)));
