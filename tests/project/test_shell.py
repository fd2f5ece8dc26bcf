"""Commands of Caffe's tools in shell scripts."""

from __future__ import annotations

import pytest

from netc.project.shell import shell_calls


@pytest.mark.parametrize(
    ("command", "becomes"),
    [
        ("$ROOT/build/tools/caffe train --solver=s.prototxt --weights a.caffemodel",
         "netc train s.prototxt --weights a.caffemodel"),
        ("./caffe-d train -solver s.prototxt -snapshot x.solverstate 2>&1 | tee log",
         "netc train s.prototxt --snapshot x.solverstate"),
        ("GLOG_logtostderr=1 caffe.bin train --solver=s.prototxt --gpu 0 > log",
         "netc train s.prototxt --backend cuda"),
        ("caffe train --solver=s.prototxt -gpu 3 &",
         "CUDA_VISIBLE_DEVICES=3 netc train s.prototxt --backend cuda"),
        ("caffe train -gpu 0,1,2 -solver s.prototxt",
         "mpiexec -n 3 netc train s.prototxt --distributed mpi --batch per-rank --backend cuda"),
        ("caffe train --solver=$S --gpu all --level=1 --stage=a,b --sighup_effect=stop",
         "mpiexec -n N netc train $S --level 1 --stage a --stage b --sighup-effect stop"
         " --distributed mpi --batch per-rank --backend cuda"),
        ("$CAFFE train --solver=s.prototxt", "netc train s.prototxt"),
        ("nohup ${CAFFE_BIN} train --solver='my net/s.prototxt' &",
         'netc train "my net/s.prototxt"'),
        ('sh -c "caffe train --solver=s.prototxt"', "netc train s.prototxt"),
        ("caffe test -model n.prototxt -weights w.caffemodel -iterations 100; echo done",
         "netc test n.prototxt --weights w.caffemodel --iterations 100"),
        ("caffe test", "netc test NET --weights W"),
        ("caffe time --model=n.prototxt --iterations=10 --phase TEST",
         "netc time n.prototxt --iterations 10 --phase TEST"),
        ("caffe device_query -gpu 0", "netc devices"),
        ("$TOOLS/convert_imageset --resize_height=256 --resize_width=$W --shuffle --gray=false"
         " $ROOT/ list.txt db",
         "netc data make list.txt --root $ROOT/ -o db --resize 256x$W --shuffle"),
        ("convert_imageset.bin -resize_height 0 -resize_width 0 / l.txt db -encoded",
         "netc data make l.txt --root / -o db --encoded"),
        ("build/tools/compute_image_mean.bin lmdb mean.binaryproto",
         "netc data mean lmdb -o mean.binaryproto"),
        ("upgrade_net_proto_text a.prototxt b.prototxt", "netc upgrade a.prototxt -o b.prototxt"),
        ("upgrade_net_proto_binary a", "netc upgrade a -o NEW.caffemodel"),
        ("extract_features w.caffemodel n.prototxt fc6,fc7 out 10 leveldb",
         "netc run n.prototxt -w w.caffemodel -i FOLDER --output fc6 --output fc7"
         " --save features.npz"),
        ("python tools/extra/parse_log.py train.log .", "netc plot train.log"),
        ("python python/draw_net.py n.prototxt n.png", "netc draw n.prototxt -o n.png"),
        ("caffe train --solver='unclosed", "netc train 'unclosed"),
    ],
)  # fmt: skip
def test_commands(command: str, becomes: str) -> None:
    assert [(c.line, c.becomes, c.works) for c in shell_calls(command)] == [(1, becomes, True)]


def test_lines_that_go_on() -> None:
    text = (
        "\n# caffe train --solver=no \\\ncaffe train \\\n  --solver=s.prototxt \\\n  --gpu=0\nls\n"
    )
    assert [(c.line, c.becomes) for c in shell_calls(text)] == [
        (3, "netc train s.prototxt --backend cuda")
    ]


def test_what_has_no_command_is_told() -> None:
    (call,) = shell_calls("build/convert_mnist_data.bin images labels db --backend=lmdb")
    assert not call.works and "netc data make FILE.npz" in call.becomes


@pytest.mark.parametrize(
    "text",
    ["cafe train", "cd caffe train_scripts", "echo $X time", "caffe trained", "# caffe train",
     "$PYTHON train file.py", "my_extract_features a b", "caffe \\"],
)  # fmt: skip
def test_what_must_not_be_told(text: str) -> None:
    assert list(shell_calls(text)) == []
