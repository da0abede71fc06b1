//! tmp
use std::time::Instant;
use crate::chains::*;
use crate::fold::folded;
#[test]
fn tmp_speed() {
    let mut scene = scene();
    let mut last = 0;
    for _ in 0..200 {
        let (log, runs) = (&mut scene.log, &mut scene.runs);
        log.at_once(|log| for _ in 0..50 { last = log.call(&mut runs[2], ISOLATE, r#"{"host":"ws-1"}"#).0; });
    }
    scene.log.publish();
    let index = folded(&scene.log);
    let t = Instant::now();
    index.rebuild().unwrap();
    eprintln!("REBUILD {} entries in {:?}: {:.0}/s", scene.log.size(), t.elapsed(), scene.log.size() as f64 / t.elapsed().as_secs_f64());
    for _ in 0..3 {
    let t = Instant::now();
    for _ in 0..100 { index.authority(lineage::Which::Index(last)).unwrap(); }
    eprintln!("AUTHORITY {:?}", t.elapsed() / 100);
    let t = Instant::now();
    for _ in 0..20 { index.allowed("maya", scene.log.now_ms).unwrap(); }
    eprintln!("ALLOWED {:?}", t.elapsed() / 20);
    let t = Instant::now();
    for _ in 0..20 { index.did(&lineage::DidFilter::default()).unwrap(); }
    eprintln!("DID {:?}", t.elapsed() / 20);
    }
}
