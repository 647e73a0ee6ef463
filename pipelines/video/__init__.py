"""Video: tracking, segmentation, actions, detection and prediction in clips."""
