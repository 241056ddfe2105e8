// Asks the original, the Rust crate tokenizers by way of its package for Node.js,
// about tokenizers of every kind: npm install tokenizers@0.23.2, then
// node original.js original.json; gzip -9 -n original.json.
const fs=require('fs');const {Tokenizer}=require('tokenizers');
const bytes=(()=>{const m=[];let n=256;for(let b=0;b<256;b++){if((b>=33&&b<=126)||(b>=0xa1&&b<=0xac)||b>=0xae)m.push(b);else m.push(n++)}return m.map(c=>String.fromCodePoint(c))})();
const texts=["","a"," ","   ","hello world","Hello, World!  How's it going?\n\nI'd say it's 12,345.67% fine…","don't you're we'll I'm they've he'd",
"a\u0301 e\u0301\u0327 \u212b ﬁ ½ Ⅷ ① ㎏ ｆｕｌｌ １２３","İstanbul ẞ ǅ","emoji 😀👍🏽👨‍👩‍👧 🇩🇪 done","日本語のテキスト、カタカナ。漢字かな交じり文 ー","我喜欢 自然语言处理。你好！","العربية نص ١٢٣ שלום","हिन्दी पाठ क्षत्रिय","한국어 텍스트 각","ไทยภาษา ทำ",
"tabs\tand\nnewlines\r\n\r\nmixed \u00a0nbsp\u3000ideo\u2028ls","ctrl \u0000\u0001\u0007\u007f\u0085 zero\u200bwidth\u200djoin\ufeffbom\ufffd","<s> special </s> <mask> [MASK] [CLS] [UNK]<mask>  <mask> x<mask>y","   lead and trail   ","a  b   c    d","x".repeat(150),"supercalifragilistic antidisestablishment pneumono","under_score snake_case __init__ a.b.c foo-bar","$100 + €5 = £3 ±√∑ ™©®","http://x.org/?q=1&b=2#frag user@mail.com","▁meta ▁▁space Ġbyte Ċ <0x0A> é","``quoted'' \"q\" 'q' “q” ‘q’","MixedCASE camelCase HTTPServer2","e\u0323\u0307 q\u0307\u0323 \u1e69 \u0344 \u0958 \u2126","\u1100\u1161\u11a8 \uac00\u11a8 한","the the the cat sat on the mat and the dog","1 22 333 4444 55555","a\u0300\u0301\u0302\u0303b","\u0600\u0661 \u06dd1","Ａ\u0301 ガ ｶﾞ","new\n  \n line \t\t end ","'s 'S 'Re it'S","\ud83d\ude00\u200d\u2642\ufe0f","x\u0345 ʼn ŉ","added!added token addedtoken ADDED added","co<sp>x <sp> y"," \u00a0 "];
const train="hello world how is it going the cat sat on the mat and the dog don't you're it's fine 12 34 newlines mixed quoted token added special lead and trail super cali under score snake case camel Case HTTP Server foo bar".split(' ');
const chars=new Set();for(const t of texts)for(const c of t.normalize('NFKD')+t.normalize('NFC')+t.toLowerCase())chars.add(c);
const rnd=(()=>{let s=12345;return n=>{s=(s*1103515245+12345)&0x7fffffff;return s%n}})();
// keep most characters, drop some to meet unknowns
const alphabet=[...chars].filter((c,i)=>i%7!=3||c<'\x7f').filter(c=>c>' '||c==' ');
const subs=w=>{const out=new Set();for(let i=0;i<w.length;i++)for(let j=i+2;j<=Math.min(w.length,i+5);j++)out.add(w.slice(i,j));return out};
const pieces=[...new Set(train.flatMap(w=>[...subs(w),w]))];
const added=(toks,first)=>toks.map((t,i)=>({id:first+i,single_word:false,lstrip:false,rstrip:false,normalized:false,special:true,...t}));
function wordpiece(extra={}){const v={};["[PAD]","[UNK]","[CLS]","[SEP]","[MASK]"].forEach((s,i)=>v[s]=i);for(const c of alphabet){if(!(c in v))v[c]=Object.keys(v).length;if(!(('##'+c) in v))v['##'+c]=Object.keys(v).length}for(const p of pieces){for(const s of [p,'##'+p])if(!(s in v))v[s]=Object.keys(v).length}return {type:"WordPiece",unk_token:"[UNK]",continuing_subword_prefix:"##",max_input_chars_per_word:100,vocab:v,...extra}}
function wordlevel(){const v={"[UNK]":0,"[PAD]":1,"[CLS]":2,"[SEP]":3};for(const w of [...train,...alphabet])if(!(w in v))v[w]=Object.keys(v).length;return {type:"WordLevel",vocab:v,unk_token:"[UNK]"}}
function merges(words,v,o={}){ // words: arrays of symbols; learn merges by frequency
  const out=[];let ws=words.map(w=>w.slice());for(let k=0;k<(o.n||200);k++){const c=new Map();for(const w of ws)for(let i=0;i+1<w.length;i++){const key=w[i]+'\u0001'+w[i+1];c.set(key,(c.get(key)||0)+1)}let best=null,bc=1;for(const [key,n] of c)if(n>bc||(n==bc&&best!==null&&key<best)){best=key;bc=n}if(!best)break;const [a,b]=best.split('\u0001');const m=a+(o.prefix?b.slice(o.prefix.length):b);out.push([a,b]);if(!(m in v))v[m]=Object.keys(v).length;ws=ws.map(w=>{const r=[];for(let i=0;i<w.length;i++){if(i+1<w.length&&w[i]==a&&w[i+1]==b){r.push(m);i++}else r.push(w[i])}return r})}return out}
const tobytes=s=>[...Buffer.from(s,'utf8')].map(b=>bytes[b]);
function bbpe(o={}){const v={};["<s>","<pad>","</s>","<unk>","<mask>"].forEach((s,i)=>v[s]=i);for(const c of bytes)v[c]=Object.keys(v).length;const m=merges([...train.map(w=>tobytes(' '+w)),...train.map(tobytes),...["日本語","我喜欢","한국어","हिन्दी"].map(tobytes),tobytes("日本語")],v,{n:260});return {type:"BPE",dropout:null,unk_token:null,continuing_subword_prefix:null,end_of_word_suffix:null,fuse_unk:false,byte_fallback:false,ignore_merges:!!o.ignore,vocab:v,merges:o.pairs?m:m.map(p=>p.join(' '))}}
function cbpe(o={}){const v={"<unk>":0,"<s>":1,"</s>":2,"<pad>":3,"<mask>":4};if(o.fallback)for(let b=0;b<256;b++)v[`<0x${b.toString(16).toUpperCase().padStart(2,'0')}>`]=Object.keys(v).length;const pre=o.prefix||'',suf=o.suffix||'';const sym=w=>{const cs=[...w];return cs.map((c,i)=>(i>0?pre:'')+c+(i==cs.length-1?suf:''))};for(const c of [...alphabet,'▁'])for(const s of new Set([c,pre+c,c+suf,pre+c+suf]))if(!(s in v))v[s]=Object.keys(v).length;const ws=train.map(w=>sym((o.meta?'▁':'')+w));const m=merges(ws,v,{n:150,prefix:pre});return {type:"BPE",dropout:null,unk_token:o.nounk?null:"<unk>",continuing_subword_prefix:pre||null,end_of_word_suffix:suf||null,fuse_unk:!!o.fuse,byte_fallback:!!o.fallback,ignore_merges:!!o.ignore,vocab:v,merges:m}}
function unigram(o={}){const list=[["<s>",0],["<pad>",0],["</s>",0],["<unk>",0]];const seen=new Set(list.map(x=>x[0]));const add=(s,sc)=>{if(!seen.has(s)){seen.add(s);list.push([s,sc])}};if(o.fallback)for(let b=0;b<256;b++)add(`<0x${b.toString(16).toUpperCase().padStart(2,'0')}>`,0);add('▁',-2.5);for(const c of alphabet)if(c!=' ')add(c,-8-rnd(1000)/250);for(const p of pieces){add(p,-5-p.length/3-rnd(1000)/200);if(rnd(3)==0)add('▁'+p,-4-rnd(1000)/200)}add('我喜欢',-6.1);add('自然',-7.2);list.push(["<mask>",0]);return {type:"Unigram",unk_id:3,vocab:list,...(o.fallback?{byte_fallback:true}:{})}}
const S=(list,k)=>({type:"Sequence",[k]:list});const N=(...l)=>S(l,"normalizers"),P=(...l)=>S(l,"pretokenizers");
const bertN=(o={})=>({type:"BertNormalizer",clean_text:true,handle_chinese_chars:true,strip_accents:null,lowercase:true,...o});
const meta=(o={})=>({type:"Metaspace",replacement:"▁",prepend_scheme:"always",split:true,...o});
const bl=(o={})=>({type:"ByteLevel",add_prefix_space:false,trim_offsets:true,use_regex:true,...o});
const tpl=(c,ci,s,si)=>({type:"TemplateProcessing",single:[{SpecialToken:{id:c,type_id:0}},{Sequence:{id:"A",type_id:0}},{SpecialToken:{id:s,type_id:0}}],pair:[{SpecialToken:{id:c,type_id:0}},{Sequence:{id:"A",type_id:0}},{SpecialToken:{id:s,type_id:0}},{Sequence:{id:"B",type_id:1}},{SpecialToken:{id:s,type_id:1}}],special_tokens:{[c]:{id:c,ids:[ci],tokens:[c]},[s]:{id:s,ids:[si],tokens:[s]}}});
const berta=added([{content:"[PAD]"},{content:"[UNK]"},{content:"[CLS]"},{content:"[SEP]"},{content:"[MASK]"}],0);
const roba=added([{content:"<s>"},{content:"<pad>"},{content:"</s>"},{content:"<unk>"},{content:"<mask>",lstrip:true}],0);
const robp=(o={})=>({type:"RobertaProcessing",sep:["</s>",2],cls:["<s>",0],trim_offsets:true,add_prefix_space:false,...o});
const CL100K="(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const CL100KP="'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+";
const O200K="[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const split=(p,b="Isolated",invert=false,k="Regex")=>({type:"Split",pattern:{[k]:p},behavior:b,invert});
const C={};
const put=(name,model,norm,pre,post,dec,add)=>{C[name]={version:"1.0",truncation:null,padding:null,added_tokens:add||[],normalizer:norm,pre_tokenizer:pre,post_processor:post,decoder:dec,model}};
const WP=wordpiece(),WL=wordlevel(),BB=bbpe(),UG=unigram();const mt=(o)=>meta(o);
const wpd={type:"WordPiece",prefix:"##",cleanup:true};
put("bert",WP,bertN(),{type:"BertPreTokenizer"},tpl("[CLS]",2,"[SEP]",3),wpd,berta);
put("bert-cased",WP,bertN({lowercase:false}),{type:"BertPreTokenizer"},{type:"BertProcessing",sep:["[SEP]",3],cls:["[CLS]",2]},wpd,berta);
put("bert-accents",WP,bertN({strip_accents:false,clean_text:false}),{type:"BertPreTokenizer"},null,wpd,berta);
put("roberta",BB,null,bl(),robp(),bl(),roba);
put("roberta-prefix",BB,null,bl({add_prefix_space:true}),robp({add_prefix_space:true}),bl(),roba);
put("gpt2-notrim",BB,null,bl(),bl({trim_offsets:false}),bl(),[]);
put("bl-noregex",bbpe({pairs:true}),null,bl({use_regex:false}),bl({add_prefix_space:true}),bl(),roba);
for(const [n,p] of [["cl100k",CL100K],["cl100k-possessive",CL100KP],["o200k",O200K]])put(n,bbpe({ignore:true}),{type:"NFC"},P(split(p),bl({use_regex:false})),bl(),bl(),added([{content:"<|endoftext|>"},{content:"<sp>",special:false,normalized:false}],600));
put("bl-normalizer",BB,{type:"ByteLevel"},null,null,bl(),[]);
put("deepseek",BB,N(),P({type:"Split",pattern:{Regex:"[\r\n]"},behavior:"Isolated",invert:false},split("\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+"),split("\\s?[!-/:-~！-／：-～‘-‟　-。]+"),split("\\s+$"),split("[一-龥ࠀ-一가-퟿]+"),{type:"Digits",individual_digits:true},bl({use_regex:false})),bl({trim_offsets:false}),bl(),[]);
put("xlmr",UG,N({type:"NFKC"},{type:"Replace",pattern:{Regex:" {2,}"},content:" "}),P({type:"WhitespaceSplit"},meta()),tpl("<s>",0,"</s>",2),meta(),added([{content:"<s>"},{content:"<pad>"},{content:"</s>"},{content:"<unk>"}],0).concat(added([{content:"<mask>",lstrip:true}],UG.vocab.length-1)));
put("albert",unigram(),N({type:"Replace",pattern:{String:"``"},content:"\""},{type:"Replace",pattern:{String:"''"},content:"\""},{type:"NFKD"},{type:"StripAccents"},{type:"Lowercase"},{type:"Replace",pattern:{Regex:" {2,}"},content:" "}),meta(),null,meta(),[]);
put("uni-first",UG,{type:"NFKD"},meta({prepend_scheme:"first"}),null,meta({prepend_scheme:"first"}),added([{content:"<mask>",lstrip:true}],UG.vocab.length-1));
put("uni-never-nosplit",UG,{type:"NFD"},meta({prepend_scheme:"never",split:false}),null,meta({prepend_scheme:"never"}),[]);
put("uni-fallback",unigram({fallback:true}),N({type:"Nmt"},{type:"Strip",strip_left:true,strip_right:true}),meta({split:false}),null,S([{type:"ByteFallback"},meta()],"decoders"),[]);
put("uni-scripts",UG,{type:"NFC"},P({type:"UnicodeScripts"},meta()),null,meta(),[]);
put("uni-digits",UG,{type:"Lowercase"},P({type:"Digits",individual_digits:true},{type:"Punctuation",behavior:"Contiguous"},meta()),null,meta(),[]);
put("llama",cbpe({fallback:true,fuse:true,meta:true}),N({type:"Prepend",prepend:"▁"},{type:"Replace",pattern:{String:" "},content:"▁"}),null,tpl("<s>",1,"</s>",2),S([{type:"Replace",pattern:{String:"▁"},content:" "},{type:"ByteFallback"},{type:"Fuse"},{type:"Strip",content:" ",start:1,stop:0}],"decoders"),added([{content:"<unk>"},{content:"<s>"},{content:"</s>"}],0));
put("bpe-suffix",cbpe({suffix:"</w>"}),N({type:"NFC"},{type:"Lowercase"}),{type:"Whitespace"},null,{type:"BPEDecoder",suffix:"</w>"},[]);
put("bpe-prefix",cbpe({prefix:"##",fuse:true}),null,{type:"WhitespaceSplit"},null,null,[]);
put("bpe-nounk",cbpe({nounk:true,ignore:true}),{type:"NFKC"},{type:"Whitespace"},null,null,[]);
put("bpe-unk",cbpe({}),null,P({type:"WhitespaceSplit"},{type:"Punctuation",behavior:"MergedWithPrevious"}),null,null,[]);
put("wordlevel",WL,{type:"Lowercase"},{type:"Whitespace"},null,null,[]);
put("wl-chardelim",WL,null,{type:"CharDelimiterSplit",delimiter:" "},null,null,[]);
put("wl-punct-removed",WL,{type:"StripAccents"},P({type:"WhitespaceSplit"},{type:"Punctuation",behavior:"Removed"}),null,null,[]);
for(const b of ["Removed","Isolated","MergedWithPrevious","MergedWithNext","Contiguous"])for(const inv of [false,true])put("split-"+b+(inv?"-inv":""),WL,null,split("\\s|[,.'!]+?",b,inv),null,null,[]);
put("split-string",WL,null,split(" ","MergedWithNext",false,"String"),null,null,[]);
put("split-look",WL,N({type:"Replace",pattern:{Regex:"(?<=\\d),(?=\\d)|\\p{Sc}"},content:"<X>"}),split("(?<![a-z])\\b(?=\\w)|\\p{Lu}(?>\\p{Ll}+)|\\d++|\\s+?","Isolated"),null,null,[]);
put("metaWL",WL,null,meta({prepend_scheme:"first",split:true}),null,null,[]);
put("added-mix",WP,bertN(),{type:"BertPreTokenizer"},null,wpd,berta.concat(added([{content:"added",special:false,normalized:true,single_word:true},{content:"added token",special:false,normalized:true},{content:"<sp>",special:false,lstrip:true,rstrip:true},{content:"Cat",special:false,normalized:true,rstrip:true},{content:"中",special:false,normalized:true}],5000)));
put("added-byte",BB,null,bl(),robp(),bl(),roba.concat(added([{content:"added",special:false,normalized:true,single_word:true},{content:"<sp>",special:false,lstrip:true,rstrip:true},{content:"sat on",special:false,normalized:true,lstrip:true}],700)));
put("fixed",WL,null,{type:"FixedLength",length:3},null,null,[]);
// a sentencepiece character map: a double array (each node has a block of its own) and the pool
function charsmap(map){const pool=[];const root={};const keys=Object.keys(map);for(const k of keys){let n=root;for(const b of Buffer.from(k,'utf8')){n[b]=n[b]||{};n=n[b]}n.value=pool.length;pool.push(...Buffer.from(map[k],'utf8'),0)}
 let units=new Array(512).fill(0),next=256;const place=(node,pos)=>{const base=next;next+=256;while(units.length<next)units.push(0);const off=pos^base;units[pos]=(units[pos]|(off<<10))>>>0;if(node.value!==undefined){units[pos]=(units[pos]|256)>>>0;units[base]=(node.value|0x80000000)>>>0}for(const c of Object.keys(node))if(c!=='value'){const p=base^Number(c);units[p]=(units[p]|Number(c))>>>0;place(node[c],p)}};place(root,0);
 const buf=Buffer.alloc(4+units.length*4+pool.length);buf.writeUInt32LE(units.length*4,0);units.forEach((u,i)=>buf.writeUInt32LE(u>>>0,4+4*i));Buffer.from(pool).copy(buf,4+units.length*4);return buf.toString('base64')}
const CM={type:"Precompiled",precompiled_charsmap:charsmap({"ﬁ":"fi","Ａ":"A","½":"1/2","\u3000":" ","\u00a0":" ","\t":" ","\r":" ","\n":" ","e\u0301":"\u00e9","a\u0301":"\u00e1","\u200b":"","\u0001":"","\u0000":"","\ufeff":"","①":"1","ガ":"ガ","㎏":"kg","…":"...","’":"'","ｆ":"f","Ⅷ":"VIII","x\u0345":"y","\u0600":"Q","👍":"+1"})};
put("precompiled",UG,N(CM,{type:"Replace",pattern:{Regex:" {2,}"},content:" "}),meta(),tpl("<s>",0,"</s>",2),meta(),added([{content:"<s>"},{content:"<pad>"},{content:"</s>"},{content:"<unk>"}],0));
put("deberta",UG,N({type:"Strip",strip_left:true,strip_right:true},CM,{type:"Replace",pattern:{Regex:" {2,}"},content:" "}),P({type:"Punctuation",behavior:"Isolated"},meta()),null,meta(),[]);
module.exports={C,texts};
if(require.main===module)(async()=>{
 const out=[];
 for(const [name,cfg] of Object.entries(C)){
  // ids of added tokens that are new must follow the vocabulary
  const v=cfg.model.vocab;const has=t=>Array.isArray(v)?v.findIndex(x=>x[0]==t):(t in v?v[t]:-1);let next=Array.isArray(v)?v.length:Object.keys(v).length;
  for(const a of cfg.added_tokens){const k=has(a.content);a.id=k>=0?k:next++}
  let t;try{t=Tokenizer.fromString(JSON.stringify(cfg))}catch(e){console.error(name,'REFUSED',String(e).slice(0,200));continue}
  const cases=[];
  const enc=async(a,b)=>{try{const e=await t.encode(a,b);const ids=e.getIds();cases.push({text:a,pair:b||"",ids,tokens:e.getTokens(),offsets:e.getOffsets(),types:e.getTypeIds(),decoded:await t.decode(ids,true),raw:await t.decode(ids,false)})}catch(e){console.error(name,JSON.stringify(a),String(e).slice(0,100))}};
  for(const x of texts)await enc(x,null);
  for(let i=0;i+1<texts.length;i+=9)await enc(texts[i+1],texts[i]||"b");
  const windows=[];
  if(["bert","roberta","xlmr"].includes(name)){
   const a="the cat sat on the mat and the dog is fine it is going on",b="how is it going the dog sat";
   for(const [max,stride,strategy,direction] of [[8,0,'LongestFirst','Right'],[10,2,'LongestFirst','Right'],[9,1,'LongestFirst','Left'],[24,2,'OnlyFirst','Right'],[24,1,'OnlySecond','Right'],[24,2,'OnlyFirst','Left'],[200,0,'LongestFirst','Right']])for(const pair of [null,b]){
    if(strategy=='OnlySecond'&&!pair)continue;
    t.setTruncation(max,{stride,strategy,direction:direction.toLowerCase()});
    try{const e=await t.encode(a,pair);windows.push({text:a,pair:pair||"",max_length:max,stride,strategy,direction,ids:[e.getIds(),...e.getOverflowing().map(x=>x.getIds())]})}catch(err){windows.push({text:a,pair:pair||"",max_length:max,stride,strategy,direction,ids:[]})}
   }
   t.disableTruncation();
  }
  out.push({name,tokenizer:cfg,cases,windows});
 }
 fs.writeFileSync(process.argv[2],JSON.stringify(out));
 console.log(out.length,out.reduce((a,b)=>a+b.cases.length,0));
})();
