"""`python -m yolov7` is the same as `yolov7`."""

from yolov7.cli import main

if __name__ == "__main__":
    main()
